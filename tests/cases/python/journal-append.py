# exit: 3 | says: open would change the journal | journal: fence | why: what was done stays written
with open(JOURNAL + "/host.jsonl", "a") as journal:
    journal.write("nothing happened\n")
