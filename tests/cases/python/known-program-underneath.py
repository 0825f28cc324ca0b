# exit: 0 | says: it ran | journal: code | why: KNOWN WAY: what starts programs beneath `subprocess` raises no audit event
import multiprocessing.util
import os


child = multiprocessing.util.spawnv_passfds(b"/bin/true", [b"true"], [])
print("it ran" if os.waitpid(child, 0)[1] == 0 else "it failed")
