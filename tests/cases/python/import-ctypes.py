# exit: 3 | says: reaches into memory | journal: fence | why: memory can be written past every fence
import ctypes

ctypes.CDLL(None).system(b"touch escaped")
