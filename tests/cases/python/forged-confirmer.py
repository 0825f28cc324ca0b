# exit: 4 | says: tampered with | journal: tampering | why: somebody who always says yes
class Yes:
    def elevate(self, request, considered):
        return True


for part in vars(db._line.gate).values():
    if type(part).__name__ == "Elevations":
        part._confirmer = Yes()
with elevate(reason="please"):
    db.sql("DELETE FROM orders")
