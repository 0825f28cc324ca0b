# exit: 0 | says: 0 rows | journal: asked | why: a parameter is a value, whatever it says
rows = db.sql("SELECT id FROM orders WHERE status = %s", ["x' OR 1=1; DELETE FROM orders -- "])
print(len(rows), "rows")
