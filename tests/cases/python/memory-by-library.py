# exit: 0 | says: a library may | journal: code | why: libraries use ctypes for reasons of their own
import multiprocessing.sharedctypes

print("a library may")
