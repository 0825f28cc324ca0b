# exit: 3 | says: shutil.rmtree would change the journal | journal: fence | why: a directory falls with what holds it
import os
import shutil

shutil.rmtree(os.path.dirname(JOURNAL))
