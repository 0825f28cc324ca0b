# exit: 0 | says: let in | journal: code | nodes: 127.0.0.1:3399 | why: KNOWN WAY: code can mark itself as the console's
import socket

from safeconsole.python.audit_hook import marked

try:
    with marked(console=True):
        socket.create_connection(("127.0.0.1", 3399))
except ConnectionRefusedError:
    print("let in")
