"""The statement that puts rows back names each of them by its key and by what became of it."""

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.undoing import KeptRows, literal_of, undo_of
from safeconsole.sqltext.vocabulary import Effect, Flavour


def test_an_update_is_put_back_row_by_row_in_one_statement():
    kept = KeptRows(
        table="`shop`.`orders`", columns=("id", "status", "total"), keys=("id",), changed=("status", "total"),
        before=(("1", "'a'", "NULL"), ("2", "'it\\'s'", "2.50")), after=(("2", "'x'", "0"), ("1", "'x'", "0")),
    )  # fmt: skip
    text = undo_of(kept)
    assert text == (
        "UPDATE `shop`.`orders` SET `status` = CASE\n  WHEN `id` <=> 1 THEN 'a'\n  WHEN `id` <=> 2 THEN 'it\\'s'\n  END, "
        "`total` = CASE\n  WHEN `id` <=> 1 THEN NULL\n  WHEN `id` <=> 2 THEN 2.50\n  END\n"
        "WHERE (`id` <=> 2 AND `status` <=> 'x' AND `total` <=> 0)\n  OR (`id` <=> 1 AND `status` <=> 'x' AND `total` <=> 0)"
    )
    (read,) = analyse(text, LexicalRules(dialect=DIALECTS[Flavour.MYSQL]))
    assert (read.kind, read.effects) == ("update", {Effect.WRITE})


def test_what_was_deleted_is_inserted_with_every_column():
    kept = KeptRows(
        table="`t`", columns=("id", "a`b"), keys=("id",), changed=(), before=(("1", "X'00'"), ("2", "NULL"))
    )
    assert undo_of(kept) == "INSERT INTO `t` (`id`, `a``b`) VALUES\n(1, X'00'),\n(2, NULL)"


def test_a_value_whose_text_is_not_exact_has_no_literal():
    for type_ in ("vector(3)", "something_new"):
        assert literal_of("a", type_) == ""
    for type_ in ("int(11) unsigned", "varchar(9)", "enum('a')", "datetime(6)", "timestamp", "blob", "bit(3)"):
        assert literal_of("a", type_)
