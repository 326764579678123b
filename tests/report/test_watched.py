import pytest

pytest.importorskip("matplotlib", reason="pages need the extra report")
from innerloop.core.interval import Share
from innerloop.report.watched import Curve, Point, Row, write_watched

ROW = Row(
    name="<b>late</b>",
    share=Share(3, 10),
    adjusted=0.4,
    ends=(0.2, 0.6),
    usual=Share(10, 100),
    trend="up",
    charts={"cusum": (6.0, 4.0)},
    alerting=True,
)
ALERT = {
    "labels": {"topic": "<b>late</b>", "mood": "bad"},
    "share": {"value": 0.3},
    "usual": {"value": 0.1},
    "window": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z"},
    "since": None,
    "charts": {"cusum": [6.0, 4.0]},
    "sentences": [{"text": "<script>alert(1)</script> مرحبا", "source": None}],
}


def page(tmp_path, **changes) -> str:
    points = [Point(3600.0 * i, 0.1, 0.0, 0.3, None if i < 2 else 0.2, () if i < 2 else (0.5,)) for i in range(4)]
    given = {
        "title": "topic and mood",
        "about": "10 events",
        "rows": [ROW],
        "curves": [Curve("<b>late</b>", 0.1, ("cusum",), points)],
        "alerts": [ALERT],
        "notes": ["3 lines are no JSON"],
        "settings": {"window": "1h"},
    }
    return write_watched(tmp_path / "page.html", **(given | changes)).read_text(encoding="utf-8")


def test_what_people_wrote_is_text_on_the_page(tmp_path):
    html = page(tmp_path, command="innerloop watch 'a&b'")
    assert "<script>" not in html and "<b>late" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; مرحبا" in html and 'dir="auto"' in html
    assert html.count("<svg") == 2 and "cusum 1.50" in html and "a&#39;b" not in html and "a&amp;b" in html


def test_what_is_not_there_is_left_out(tmp_path):
    row = ROW._replace(
        share=Share(0, 0), adjusted=None, ends=None, usual=Share(0, 0), trend=None, charts={}, alerting=False
    )
    html = page(tmp_path, rows=[row], curves=[Curve("x", 0.1, (), [])], alerts=[], notes=[])
    assert "nothing" in html and "Rises" not in html and "<svg" not in html and "nan" not in html.lower()
