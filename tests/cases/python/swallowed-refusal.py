# exit: 0 | says: still here | journal: fence | why: catching the refusal does not make it run
import os

try:
    os.system("touch escaped")
except Exception:
    print("still here")
