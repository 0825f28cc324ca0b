# exit: 3 | says: a direct connection | journal: fence | nodes: 127.0.0.1:3399 | why: the same address in six
import socket

socket.create_connection(("::ffff:127.0.0.1", 3399))
