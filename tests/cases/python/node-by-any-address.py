# exit: 3 | says: a direct connection to 0.0.0.0:3399, a node | journal: fence | nodes: 127.0.0.1:3399 | why: no address is this computer
import socket

socket.create_connection(("0.0.0.0", 3399))
