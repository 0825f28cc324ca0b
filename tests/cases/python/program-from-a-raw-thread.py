# exit: 0 | says: not allowed in this console: os.system | journal: fence | why: so is one that threading does not know
import _thread
import os

done = _thread.allocate_lock()
done.acquire()


def start():
    try:
        os.system("touch escaped")
    except Exception as error:
        print(error)
    finally:
        done.release()


_thread.start_new_thread(start, ())
done.acquire()
