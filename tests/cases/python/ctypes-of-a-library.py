# exit: 3 | says: ctypes.dlopen reaches into memory | journal: fence | why: a library that imported it lends it
import multiprocessing.sharedctypes as library

library.ctypes.CDLL(None).system(b"touch escaped")
