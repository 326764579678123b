"""Names of tasks in any script, one rule everywhere: made, asked, limited by keys, downloaded and taken in again."""

import re
import unicodedata
from importlib import resources
from urllib.parse import quote, unquote

import pytest

from innerloop.core.errors import InputError
from innerloop.service import task_names
from innerloop.service.client import Client
from innerloop.service.store import keys
from tests.service.served import PHOTOS, WORDS, picture, serving, teach

SCRIPTS = [
    "garden-birds_2.0",
    "हिन्दी",
    "ภาษาไทย",
    "طيور-الحديقة",
    "花园的鸟",
    "Ünïcödé",
    "ציפורים",
    "새-정원",
    "٣طيور",
    "𠮷野家",
]
DECOMPOSED = unicodedata.normalize("NFD", "vögel-café")
BAD = {
    "": "0 characters",
    "a b": r"' ' \(U\+0020\)",
    "a/b": "U[+]002F",
    "..": "U[+]002E",
    "-a": "U[+]002D",
    "\u0301a": "U[+]0301",
    "a\u202eb": "U[+]202E",
    "a\u200bb": "U[+]200B",
    "a\x00": "U[+]0000",
    "a\n": "U[+]000A",
    "\ud800": "U[+]D800",
    "🦆": "U[+]1F986",
    "x" * 65: "65 characters",
    "x" * 100_000: "100,000 characters",
    "𠮷" * 51: "204 bytes of UTF-8",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_name_may_be_of_any_script(name):
    assert task_names.checked(name) == name == task_names.of_file(f"{name}.fewshot")
    assert unquote(task_names.address(name)) == f"/api/tasks/{name}"
    assert task_names.checked(unicodedata.normalize("NFD", name)) == name


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_is_none_is_told_by_what_is_wrong(name):
    with pytest.raises(InputError, match=f"no task can be called .*{BAD[name]}") as told:
        task_names.checked(name)
    assert len(str(told.value)) < 400


def test_the_page_has_the_same_rule():
    page = resources.files("innerloop.service").joinpath("web/tasks.js").read_text()
    assert f"String.raw`{task_names.PATTERN}`" in page


def test_of_a_file_s_name_what_names_do_not_have_becomes_a_hyphen():
    assert task_names.of_file("my photos (2) .fewshot") == "my-photos-2"
    assert task_names.of_file("../../鸟 类.fewshot") == "鸟-类"
    assert task_names.of_file("x" * 90) == "x" * 64 and len(task_names.of_file("𠮷" * 90)) == 50
    with pytest.raises(InputError, match="no task can be called"):
        task_names.of_file("…….fewshot")


def test_a_task_of_any_script_goes_through_the_service(tmp_path):
    name = "طيور-café"
    with serving(tmp_path) as client:
        teach(client, unicodedata.normalize("NFD", name))
        assert [task["name"] for task in client.get("/api/tasks").json()] == [name]
        for spelled in (name, unicodedata.normalize("NFD", name)):
            path = f"/api/tasks/{quote(spelled, safe='')}"
            assert client.get(path).json()["name"] == name
            assert client.post(f"{path}/predict", json={"texts": ["aaa"]}).json()["predictions"][0]["class"] == "a"
        again = client.post("/api/tasks", json={"name": unicodedata.normalize("NFD", name), "source": WORDS})
        assert again.status_code == 409, "another spelling is the same name"
        answer = client.get(f"{task_names.address(name)}/download")
        sent = answer.headers["content-disposition"]
        assert sent.isascii() and sent.startswith('attachment; filename="task.fewshot"; ')
        assert unquote(sent.partition("filename*=UTF-8''")[2]) == f"{name}.fewshot"
        taken = client.post("/api/tasks/import", files={"file": ("鳥 🦆.fewshot", answer.content)})
        assert taken.json()["name"] == "鳥"
        for wrong in ("a b", "a\u202eb", "x" * 65):
            for refused in (
                client.post("/api/tasks", json={"name": wrong, "source": WORDS}),
                client.post("/api/tasks/import", files={"file": answer.content}, data={"name": wrong}),
                client.get(task_names.address(wrong)),
            ):
                assert refused.status_code == 422
                assert re.match(r"(path\.|)(name: |)no task can be called", refused.json()["error"]), refused.text
    with serving(tmp_path) as client:  # the store knows
        assert client.get(task_names.address(name)).json()["version"] == 1


def test_addresses_of_pictures_are_encoded(tmp_path):
    with serving(tmp_path) as client:

        class Sent(Client):
            def request(self, method, path, **how):  # pyright: ignore[reportIncompatibleMethodOverride]
                return client.request(method, f"/{path}", **{k: v for k, v in how.items() if k != "looks"})

        task = Sent("http://localhost").create("鳥", PHOTOS)
        task.add([picture("red"), picture("blue")], ["a", "b"])
        address = next(task.examples()).picture
        assert address is not None and address.isascii() and client.get(address).status_code == 200
        (answer,) = task.predict([picture("red")], explain=True)
        assert client.get(answer.nearest[0]["picture"]).status_code == 200


def test_a_key_reaches_a_task_in_every_spelling_of_its_name(tmp_path):
    with serving(tmp_path, demand_keys=True) as client:
        key, token = keys.add(tmp_path, "write", tasks=[DECOMPOSED])
        assert key.tasks == ("vögel-café",)
        client.headers["authorization"] = f"Bearer {token}"
        made = client.post("/api/tasks", json={"name": DECOMPOSED, "source": WORDS})
        assert made.status_code == 201, made.text
        for name in (DECOMPOSED, "vögel-café"):
            assert client.get(task_names.address(name)).status_code == 200
        assert client.get(task_names.address("vogel-café")).status_code == 403
