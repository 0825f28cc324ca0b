# exit: 0 | says: let in | journal: code | nodes: 127.0.0.1:3399 | why: KNOWN WAY: frames can call themselves the console's
import socket

import safeconsole.python.line as line

file = line.__file__
names = {"__name__": "safeconsole.mysql.mine", "socket": socket}
exec(compile("def dial(): socket.create_connection(('127.0.0.1', 3399))", file, "exec"), names)
door = {"__name__": "safeconsole.console.mine", "dial": names["dial"]}
exec(compile("def enter(): dial()", file, "exec"), door)
try:
    door["enter"]()
except ConnectionRefusedError:
    print("let in")
