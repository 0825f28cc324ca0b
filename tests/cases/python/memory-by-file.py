# exit: 3 | says: reaches into memory | journal: fence | why: this process's memory is a file, too
open("/proc/self/mem", "r+b", buffering=0)
