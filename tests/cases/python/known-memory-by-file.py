# exit: 0 | says: open | journal: code | why: KNOWN WAY: this process's memory is a file, too
with open("/proc/self/mem", "r+b", buffering=0):
    print("open")
