# exit: 0 | says: not allowed in this console: os.system | journal: fence | why: a thread of the person's own is the person
import os
import threading


def start():
    try:
        os.system("touch escaped")
    except Exception as error:
        print(error)


thread = threading.Thread(target=start)
thread.start()
thread.join()
