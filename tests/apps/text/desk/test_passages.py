from pathlib import Path

import pytest

from innerloop.apps.text.desk import passages
from innerloop.core.errors import InputError

DOCUMENTS = Path(__file__).parents[4] / "docs" / "guide" / "support" / "documents"


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_markdown_is_cut_at_headings_and_loses_its_marks(tmp_path):
    write(
        tmp_path,
        "a/b.md",
        "# Top\n\nSee **[the page](http://x.y)**.\n\n- one\n- two\n\n```\n# no heading\n```\n## Next #\nend",
    )
    first, second = passages.read(tmp_path)
    assert (first.source, first.heading) == ("a/b.md", "Top")
    assert first.text == "See the page. one two # no heading"
    assert (second.heading, second.text, second.place) == ("Next", "end", "a/b.md, Next")


def test_pages_keep_words_and_leave_scripts_out():
    found = [one for one in passages.read(DOCUMENTS) if one.source == "returns.html"]
    assert [one.heading for one in found][:2] == ["Time", "What cannot be returned"]
    assert not any("console" in one.text or "teal" in one.text for one in found)


def test_text_is_cut_at_empty_lines_and_long_ones_at_sentences(tmp_path):
    write(tmp_path, "a.txt", "One.\n\n" + "A sentence of words. " * 100)
    first, *rest = passages.read(tmp_path)
    assert first.text == "One." and len(rest) == 2
    assert all(len(one.text) <= passages.LONGEST and one.text.endswith("words.") for one in rest)


def pdf(words: bytes = b"The guarantee is two years.") -> bytes:
    """A PDF of one page."""
    stream = b"BT /F1 12 Tf 20 100 Td (%s) Tj ET" % words
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 5\n0000000000 65535 f \n%strailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        table,
        len(body),
    )
    return body + end


def test_a_pdf_is_read_with_its_pages(tmp_path):
    pypdf = pytest.importorskip("pypdf")
    write(tmp_path, "a.pdf", pdf())
    (only,) = passages.read(tmp_path)
    assert (only.text, only.source) == ("The guarantee is two years.", "a.pdf, page 1")
    damaged = write(tmp_path, "b.pdf", b"nothing of a PDF")
    with pytest.raises(InputError, match="is no PDF that can be read"):
        passages.read(damaged)
    locked = pypdf.PdfWriter(clone_from=tmp_path / "a.pdf")
    locked.encrypt("secret", algorithm="RC4-128")
    locked.write(tmp_path / "c.pdf")
    with pytest.raises(InputError, match=r"c\.pdf is encrypted"):
        passages.read(tmp_path / "c.pdf")
    with pytest.raises(InputError, match="holds no words"):
        passages.read(write(tmp_path, "d.pdf", pdf(b"")))
    with pytest.raises(InputError, match="holds too much"):
        list(passages.of_pdf(tmp_path / "a.pdf", "a.pdf", until=0.0))


def test_answers_given_before_are_found_by_their_questions(tmp_path):
    (only,) = passages.answers(write(tmp_path, "past.csv", "question,answer\nUntil when?,Until six.\n"))
    assert (only.searched, only.text, only.place) == ("Until when?", "Until six.", "past.csv, line 2")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.docx", "x", "is no document that can be read"),
        ("past.csv", "question,answer\nx,\n", "lacks a question or its answer"),
        ("past.csv", "question,answer\n", "holds no answer"),
        ("past.csv", "asked,said\nx,y\n", "has no column 'question'"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, name, content, said):
    path = write(tmp_path, name, content)
    with pytest.raises(InputError, match=said):
        (passages.answers if name == "past.csv" else passages.read)(path)


def test_a_folder_without_words_is_refused(tmp_path):
    write(tmp_path, "a.md", "  \n")
    with pytest.raises(InputError, match="holds no words"):
        passages.read(tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        passages.read(tmp_path / "none.md")
