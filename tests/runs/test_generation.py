"""`innerloop test` of a run that generates, its report, and judges that cannot judge it."""

import json

import pytest

from innerloop.cli.main import main
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.engine.checkpoint import read_config, save_params, write_config
from innerloop.evaluate import kept
from innerloop.runs.generation import JudgeOptions, judge_run
from innerloop.runs.measure import MetaTestOptions
from tests.generative import Shaded, save

CONTEXT = Context(allow=("tests",))
JUDGE = "kanji-protonet"
TESTS = ["--allow", "tests", "--episodes", "2", "--no-baselines"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """As if it had been trained on kanji, as the judge was."""
    from innerloop.fewshot.sources import SHIPPED

    record = read_config(SHIPPED / JUDGE)["record"]
    return save(tmp_path_factory.mktemp("runs") / "shaded", Shaded(), **record)


def test_a_test_says_what_a_judge_says_and_the_report_shows_it(run, capsys):
    assert main(["test", str(run), *TESTS, "--judged", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["generated"]
    assert found["ways"] == 20 and found["judge"] == JUDGE and found["ink"] == "crisp"
    assert found["recognised"][0] > 0.8 and found["pasted"][0] > 0.9 and found["bits"] is None
    page = (run / "report.html").read_text()
    assert "Generated examples" in page and "20 classes from 5" in page and page.count('class="sheet"') == 3
    (one,) = kept.generations(run)
    assert one.warning is None and one.result is not None and "--judged 2" in one.result.command(run)
    save_params(run, Shaded(), {"noise": Shaded().init(0)["noise"] + 1})
    (one,) = kept.generations(run)
    assert "run the test again by `innerloop test" in str(one.warning)
    save_params(run, Shaded(), Shaded().init(0))
    assert main(["test", str(run), *TESTS, "--judge", "none"]) == 0
    assert "generated" not in capsys.readouterr().out


def test_a_judge_that_cannot_judge_is_refused(run, tmp_path):
    def judge(run, **options):
        splits = {k: options.pop(k) for k in ("split", "data") if k in options}
        return judge_run(run, MetaTestOptions(**splits), JudgeOptions(judged=2, **options), CONTEXT)

    with pytest.raises(InputError, match="kanji-protonet was trained on these classes"):
        judge(run, split="train")
    with pytest.raises(InputError, match="generates nothing that kanji-protonet could judge"):
        judge("src/innerloop/fewshot/shipped/kanji-protonet", judge=JUDGE)
    small = tmp_path / "small"
    config = read_config(run)
    write_config(small, Shaded(), {}, config["record"] | {"shape": [1, 12, 12]})
    save_params(small, Shaded(), Shaded().init(0))
    with pytest.warns(UserWarning, match="is not judged: the shipped kanji-protonet takes examples of shape"):
        assert judge(small) is None, "nobody asked for a judge that sees other pictures"
    with pytest.raises(InputError, match=r"takes examples of shape \(1, 28, 28\)"):
        judge(small, judge=JUDGE)
