# exit: 3 | says: os.rename would change the journal | journal: fence | why: a journal elsewhere is a journal gone
import os

os.rename(os.path.dirname(JOURNAL), os.path.dirname(JOURNAL) + "-elsewhere")
