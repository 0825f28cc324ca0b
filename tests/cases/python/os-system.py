# exit: 3 | says: os.system starts another program | journal: fence | why: a shell command is not on the road
import os

os.system("touch escaped")
