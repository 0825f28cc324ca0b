# exit: 1 | says: one statement at a time | journal: not run | why: a harmless one must not carry another
db.sql("SELECT 1; DELETE FROM orders")
