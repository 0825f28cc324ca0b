"""A session under any order of questions, answers, losses, jumps and promotions: what is sent was granted, letter by letter."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from safeconsole.errors import SafeConsoleError, UnreachableError
from tests.session.conftest import JUSTIFICATION, Walk

# One digest, many texts: they differ in a value, a space or a comment alone.
TEXTS = st.sampled_from(
    [
        "UPDATE orders SET status = 'a' WHERE id < 3",
        "UPDATE orders SET status = 'a' WHERE id < 4000",
        "UPDATE orders SET status = 'b' WHERE id < 3",
        "UPDATE orders SET  status = 'a' WHERE id < 3",
        "UPDATE orders SET status = 'a' /* x */ WHERE id < 3",
        "DELETE FROM orders WHERE id = 1",
    ]
)
ANSWERS = st.sampled_from([True, False, KeyboardInterrupt()])


class ExactTexts(RuleBasedStateMachine):
    """The session itself, on servers in memory; the model is what the person may expect of it."""

    def __init__(self):
        super().__init__()
        self.walk = Walk()
        self.window_ends = None
        self.promoted = False
        self.sent = 0
        self.walk.run("SELECT id FROM orders")

    def run(self, text, *, answers=(), **how):
        """Run a text, and return those that were sent and changed something, with their account."""
        before = len(self.walk.sent())
        self.walk.confirmer.answers = list(answers)
        try:
            self.walk.run(text, **how)
        except SafeConsoleError:
            pass
        return [(sent, account) for sent, _, account in self.walk.sent()[before:]]

    @property
    def window(self):
        return self.window_ends is not None and self.walk.clock.seconds < self.window_ends and not self.promoted

    @rule(text=TEXTS, answer=ANSWERS)
    def once(self, text, answer):
        window = self.window
        sent = self.run(text, answers=[answer], justification=JUSTIFICATION)
        if window:
            assert sent == [(text, "elevated")]
        elif self.promoted:
            # The first statement after a promotion may find it out on its way.
            assert sent in ([], [(text, "elevated")])
            assert answer is True or not sent
        else:
            assert sent == ([(text, "elevated")] if answer is True else [])
        self.settle()

    @rule(text=TEXTS)
    def plainly(self, text):
        window = self.window
        sent = self.run(text)
        assert sent == ([(text, "elevated")] if window else [])
        self.settle()

    @rule(text=TEXTS, other=TEXTS, where=st.sampled_from(["prove", "connect"]))
    def a_grant_whose_attempt_was_not_sent_is_gone(self, text, other, where):
        window = self.window

        def breaks(*_):
            raise UnreachableError("lost on the way")

        self.walk.gate.stand_down()
        self.window_ends = None
        self.walk.engine.hooks[where] = breaks
        sent = self.run(text, answers=[True], justification=JUSTIFICATION)
        del self.walk.engine.hooks[where]
        assert sent == [], window
        assert not self.walk.gate.is_elevated
        assert self.run(other) == []
        self.settle()

    @rule(answer=ANSWERS, seconds=st.sampled_from([60.0, 900.0]))
    def open_a_window(self, answer, seconds):
        self.walk.confirmer.answers = [answer]
        try:
            self.walk.gate.elevate(reason="incident 7", window_seconds=seconds)
        except SafeConsoleError:
            assert answer is not True
        else:
            assert answer is True
            self.window_ends = self.walk.clock.seconds + seconds
        self.settle()

    @rule()
    def stand_down(self):
        self.walk.gate.stand_down()
        self.window_ends = None

    @rule(seconds=st.sampled_from([0.1, 30.0, 61.0, 1000.0]))
    def time_passes(self, seconds):
        self.walk.clock.pass_by(seconds)

    @rule()
    def another_server_is_promoted(self):
        nodes = self.walk.engine.nodes
        primary = next(node for node in nodes if node.role == "primary")
        other = next(node for node in nodes if node is not primary)
        primary.role, other.role = other.role, primary.role
        self.promoted = True

    def settle(self):
        """A promotion that was found out ends the window for good."""
        if self.promoted and not self.walk.gate.is_elevated:
            self.window_ends = None
        if self.window_ends is not None and self.walk.clock.seconds >= self.window_ends:
            self.window_ends = None
        if self.promoted:
            with_readings = self.run("SELECT id FROM orders")
            assert all(account == "read" for _, account in with_readings)
            self.window_ends, self.promoted = (self.window_ends if self.walk.gate.is_elevated else None), False

    @invariant()
    def every_change_that_was_sent_has_a_grant_of_its_own_on_record(self):
        granted = {each.id: each for each in self.walk.records("elevation") if each.state == "granted"}
        used = [each for each in self.walk.records("intent") if each.account == "elevated"]
        for intent in used:
            grant = granted[intent.elevation]
            if grant.scope == "statement":
                assert grant.statement == intent.statement
        of_one = [each.elevation for each in used if granted[each.elevation].scope == "statement"]
        assert len(of_one) == len(set(of_one)), "a grant of one statement was used twice"

    @invariant()
    def every_question_has_an_end(self):
        """But for the window that is held, whatever was asked was granted or declined, and whatever granted, ended."""
        last = {}
        for each in self.walk.records("elevation"):
            last[each.id] = each.state
        still = [state for state in last.values() if state in {"asked", "granted"}]
        assert still in ([], ["granted"]), last


TestExactTexts = ExactTexts.TestCase
TestExactTexts.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
