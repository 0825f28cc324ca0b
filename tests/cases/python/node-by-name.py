# exit: 3 | says: a direct connection | journal: fence | nodes: 127.0.0.1:3399 | why: another name of the same address
import socket

socket.create_connection(("localhost", 3399))
