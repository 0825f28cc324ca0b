# exit: 4 | says: tampered with | journal: tampering | why: the same gate, of another class
gate = db._line.gate


class Open(type(gate)):
    pass


gate.__class__ = Open
