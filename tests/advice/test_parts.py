"""What advice looks at: kinds of data, copies, maps of classes."""

import numpy as np
import pytest
import torch

from innerloop.advice.candidates import letters, plain
from innerloop.advice.looks import look
from innerloop.advice.material import read
from innerloop.advice.sameness import sameness
from innerloop.advice.training import FEWEST_CLASSES, held_out, refusal
from innerloop.core.errors import InputError
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.datasets import load
from tests.advice.planted import SENTENCES, chinese, folder, npz, patterns


def test_a_folder_and_an_npz_of_the_same_pictures_are_the_same_material(tmp_path):
    x, y = patterns(3, 4, bright=80)
    ours, theirs = read(folder(tmp_path / "f", x, y)), read(npz(tmp_path / "a.npz", x, y))
    assert ours.labels.tolist() == theirs.labels.tolist() == y.tolist()
    assert torch.equal(plain(ours).rows, plain(theirs).rows)
    assert look(ours).size == "28 x 28 pixels"


def test_looks_count_what_there_is(tmp_path):
    x, y = patterns(3, 6)
    keep = np.r_[0:6, 6:8, 12:13]
    looks = look(read(npz(tmp_path / "a.npz", x[keep], y[keep])))
    assert (looks.classes, looks.examples, looks.fewest, looks.most, looks.singles) == (3, 9, 1, 6, 1)
    assert looks.smallest == "2"
    assert looks.uneven
    assert 0.5 < looks.balance < 1


def test_an_example_keeps_its_number_whatever_is_left_out(tmp_path):
    x, y = patterns(3, 40)
    whole = read(npz(tmp_path / "a.npz", x, y))
    some = whole.sampled(5, seed=1).of_classes([2, 0])
    for i, row in enumerate(some.raw):
        name, _, number = some.called(i).partition(" #")
        assert np.array_equal(x[y == int(name)][int(number) - 1], np.asarray(row).squeeze())
    assert max(int(number) for number in some.numbers) > 5


def test_scripts_have_their_names(tmp_path):
    assert look(read(chinese(tmp_path / "a.csv"))).script == "Chinese characters"


def test_letters_tell_sentences_apart_in_any_script():
    rows = letters(["明天会下雨吗", "明天会下雪吗", "我想退款"])
    rows = rows / rows.norm(dim=1, keepdim=True)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2
    assert torch.equal(letters(["Ab  c"]), letters(["ab c"]))


def test_copies_across_classes_are_found_equal_and_nearly_and_others_are_not(tmp_path):
    x, y = patterns(4, 6)
    near = np.clip(x[0].astype(int) + np.random.default_rng(1).integers(-2, 3, x[0].shape), 0, 255).astype(np.uint8)
    material = read(npz(tmp_path / "a.npz", np.concatenate([x, x[6:7], near[None]]), np.r_[y, 3, 3]))
    rows = plain(material).rows
    found = sameness(material, rows, rows)
    names = {frozenset((material.called(a), material.called(b), str(exact))) for a, b, exact in found.across}
    assert names == {frozenset(("1 #1", "3 #7", "True")), frozenset(("0 #1", "3 #8", "False"))}
    assert found.within == ()
    assert found.share == pytest.approx(4 / 26)


def test_the_same_sentence_in_other_letters_is_a_copy(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nHello there!,a\nhello  there,b\nSomething else,a\nGood morning,b\n")
    material = read(str(path))
    rows = letters([str(text) for text in material.raw])
    pairs = sameness(material, rows, rows).across
    assert [(material.called(a), material.called(b)) for a, b, _ in pairs] == [("Hello there!", "hello  there")]


def test_held_out_classes_are_those_that_train_leaves_out(tmp_path):
    path = npz(tmp_path / "a.npz", *patterns(FEWEST_CLASSES, 6))
    material = read(path)
    assert refusal(material) is None
    assert [material.names[c] for c in held_out(material)] == list(load(path).test.names)
    few = material.of_classes(range(FEWEST_CLASSES - 1))
    assert str(FEWEST_CLASSES - 1) in str(refusal(few))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "holds no pictures"),
        (("a/0.png", "b/0.txt"), "1 pictures and 1 texts"),
        (("a/0.wav", "b/0.txt"), "1 sounds and 1 texts"),
    ],
)
def test_a_folder_of_nothing_or_of_several_kinds_is_refused(tmp_path, files, said):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    with pytest.raises(InputError, match=said):
        read(str(tmp_path))


def test_columns_of_what_is_no_table_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    for data in (str(tmp_path), npz(tmp_path / "a.npz", *patterns(2, 2)), "digits"):
        with pytest.raises(InputError, match="are of tables"):
            read(data, table=TableOptions(text_column="words"))


@pytest.mark.parametrize("data", ["sinusoid", "nowhere", "movielens"])
def test_what_has_no_classes_is_refused(data):
    with pytest.raises(InputError, match=r"classes of single examples|no data set"):
        read(data)


def test_sentences_are_in_the_order_of_their_classes(tmp_path):
    material = read(chinese(tmp_path / "a.csv"))
    assert material.names == tuple(sorted(SENTENCES))
    assert material.raw[0] in SENTENCES[material.names[0]]


def test_colour_photographs_are_no_drawings(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (6, 3, 4, 4)).repeat(8, 2).repeat(8, 3).astype(np.uint8)
    x[:4] = 255
    x[:4, :, 8:12] = 0
    first = plain(read(npz(tmp_path / "a.npz", x, np.arange(2).repeat(3))))
    assert not first.drawings
    assert first.rows.shape == (6, 1, 28, 28)
