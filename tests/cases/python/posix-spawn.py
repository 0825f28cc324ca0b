# exit: 3 | says: os.posix_spawn starts another program | journal: fence | why: the quiet sister of subprocess
import os

os.posix_spawn("/usr/bin/touch", ["touch", "escaped"], {})
