# exit: 3 | says: subprocess.Popen starts another program | journal: fence | why: a client of its own would know no gate
import subprocess

subprocess.run(["touch", "escaped"], check=False)
