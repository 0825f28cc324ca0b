# exit: 3 | says: os.remove would change the journal | journal: fence | why: a path relative to an open directory
import os

os.remove("host.jsonl", dir_fd=os.open(JOURNAL, os.O_RDONLY))
