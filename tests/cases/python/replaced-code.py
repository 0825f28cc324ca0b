# exit: 4 | says: tampered with | journal: tampering | why: the same function with other code
import safeconsole.policy.policy

safeconsole.policy.policy.judge.__code__ = (lambda policy, facts, limits=None: None).__code__
