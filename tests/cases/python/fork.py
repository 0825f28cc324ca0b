# exit: 3 | says: os.fork starts another program | journal: fence | why: a child would share the connections
import os

if os.fork() == 0:
    os._exit(0)
