# exit: 3 | says: a direct connection | journal: fence | nodes: 127.0.0.1:3399 | why: a driver of its own knows no gate
import pymysql

pymysql.connect(host="127.0.0.1", port=3399, user="root")
