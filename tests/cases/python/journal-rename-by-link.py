# exit: 3 | says: would change the journal | journal: fence | why: the same place by another name
import os

os.symlink(JOURNAL, "innocent")
with open("innocent/host.jsonl", "r+b") as journal:
    journal.truncate()
