"""Rows come out of every form, found by the content; what spoils a file is said in one sentence."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from instructgpt.data.formats.format import Skip
from instructgpt.data.importing import array as array_module
from instructgpt.data.importing import text as text_module
from instructgpt.data.importing.forms import rows_of
from instructgpt.data.importing.packed import unpacked
from instructgpt.errors import UserError
from tests.data.importing.files import FORMS, array, lines, parquet, table, write, zstd

ROWS = [
    {"prompt": "Wie heißt\ndas?", "response": 'He said: "so", then\u2028left'},
    {"prompt": " 2 + 2 ", "response": "4,5\t6"},
    {"prompt": "q", "response": "[{"},
]


def rows(path: str | Path) -> list:
    return [item.row for item in rows_of(Path(path))]


def refusal(path: str | Path) -> str:
    with pytest.raises(UserError) as caught:
        rows(path)
    assert str(path) in str(caught.value)
    return str(caught.value).replace(f"{Path(path).parent}/", "")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found_by_its_content(form: str, tmp_path: Path):
    assert rows(write(tmp_path / "file", FORMS[form](ROWS))) == ROWS


def test_places_are_where_a_row_begins(tmp_path: Path):
    def places(content: bytes) -> list[str]:
        path = Path(write(tmp_path / "f", content))
        return [item.place.replace(f"{path} ", "") for item in rows_of(path)]

    assert places(b'\n{"a": 1}\n\n{"a": 2}') == ["line 2", "line 4"]
    assert places(array([{"a": 1}, {"a": 2}])) == ["element 1", "element 2"]
    assert places(b'a,b\n"one\ntwo",3\n\n4,5\n') == ["line 2", "line 5"]
    assert places(FORMS["parquet"]([{"a": 1}, {"a": 2}])) == ["row 1", "row 2"]


def test_marks_and_line_ends_of_windows_are_passed_over(tmp_path: Path):
    bom = b"\xef\xbb\xbf"
    assert rows(write(tmp_path / "a", bom + b'{"a": 1}\r\n\r\n{"a": 2}\r\n')) == [
        {"a": 1},
        {"a": 2},
    ]
    assert rows(write(tmp_path / "b", bom + b'\r\n[{"a": 1}]\r\n')) == [{"a": 1}]
    assert rows(write(tmp_path / "c", bom + b"a,b\r\n1,2\r\n")) == [{"a": "1", "b": "2"}]


@settings(deadline=None, max_examples=40, phases=(Phase.reuse, Phase.generate))
@given(
    found=st.lists(
        st.dictionaries(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text('ab"\\[]{},: \u2028\n'),
                lambda part: st.lists(part, max_size=3),
                max_leaves=5,
            ),
            max_size=3,
        ),
        min_size=1,
        max_size=5,
    ),
    chunk=st.integers(1, 30),
    indent=st.sampled_from([None, 0, 2]),
)
def test_an_array_is_parted_as_json_parts_it(
    found: list, chunk: int, indent: int | None, tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.getbasetemp() / "array.json"
    path.write_text(json.dumps(found, indent=indent, ensure_ascii=False), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_module, "CHUNK", chunk)
        assert rows(path) == found


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", "nested too deeply (more than 100 levels)"),
        (b'{"a": "\\u0000"}', "a holds a NUL character (U+0000)"),
        (b'{"a": "\\ud800"}', "a holds a lone surrogate (U+D800)"),
        (b'"text"', "expected a JSON object, found str"),
        (b'{"a": 1e}', "not valid JSON (Expecting ',' delimiter at column 8)"),
    ],
)
def test_a_bad_row_costs_itself(content: bytes, reason: str, tmp_path: Path):
    good = b'{"b": 1}'
    for whole in (b"\n".join([good, content, good]), b"[%s]" % b",".join([good, content, good])):
        first, bad, last = rows(write(tmp_path / "f", whole))
        assert first == last == {"b": 1}
        assert isinstance(bad, Skip)
        assert str(bad) == reason


def test_a_row_of_a_table_that_does_not_fit_its_header_costs_itself(tmp_path: Path):
    first, bad, last = rows(write(tmp_path / "f.csv", b"a,b\n1,2\n1,2,3\n3,4\n"))
    assert (first, last) == ({"a": "1", "b": "2"}, {"a": "3", "b": "4"})
    assert str(bad) == "the row has 3 cells, the header 2"
    first, bad = rows(write(tmp_path / "f.csv", b'a,b\n1,2\n1,"2\n'))
    assert str(bad) == "not a row of a table (unexpected end of data)"


def test_a_long_text_is_a_text(tmp_path: Path):
    row = {"prompt": "x" * 2**20, "response": '"\\' * 2**18}
    for form in ("lines", "array", "csv"):
        assert rows(write(tmp_path / "f", FORMS[form]([row]))) == [row]


@pytest.mark.parametrize("extra", [1, 2**20])
def test_a_row_over_the_limit_is_refused(extra: int, tmp_path: Path, monkeypatch):
    for module in (array_module, text_module):
        monkeypatch.setattr(module, "LONGEST_LINE", 2**20)
    row = {"a": "x" * (2**20 - 9 + extra)}
    assert refusal(write(tmp_path / "f", lines([row]))).startswith("f line 1: is longer than 1 MiB")
    assert refusal(write(tmp_path / "f", array([row]))).startswith("f element 1: is longer than 1")
    row = {"a": "x" * (2**20 - 100)}
    assert rows(write(tmp_path / "f", lines([row]))) == [row]
    assert rows(write(tmp_path / "f", array([row]))) == [row]


@pytest.mark.parametrize("pack", [gzip.compress, None])
def test_a_cut_file_is_refused(pack, tmp_path: Path):
    rng = [{"prompt": str(i * 7919 % 1000), "response": "b"} for i in range(500)]
    whole = pack(lines(rng)) if pack else zstd(rng)
    name = "gzip" if pack else "zstd"
    for cut in (whole[:-1], whole[: len(whole) // 2], whole[:11]):
        assert refusal(write(tmp_path / "f", cut)) == (
            f"f is a cut {name} file: it ends too early; fetch it again"
        )
    assert rows(write(tmp_path / "f", whole + whole)) == rng + rng


def test_what_spoils_a_file_is_said(tmp_path: Path):
    def said(content: bytes) -> str:
        return refusal(write(tmp_path / "f", content))

    assert said(b'{"a": 1}\n{"b": "caf\xe9"}\n') == (
        "f is not UTF-8 text (invalid continuation byte: 0xE9 at byte 20, line 2); convert it"
    )
    assert said(b'[{"a": 1},\n {"b": "caf\xe9"}]') == (
        "f is not UTF-8 text (invalid continuation byte: 0xE9 at byte 23, element 2); convert it"
    )
    assert said(b"a,b\n1,caf\xe9,\n") == (
        "f is not UTF-8 text (invalid continuation byte: 0xE9 at byte 10, line 2); convert it"
    )
    assert said('{"a": 1}'.encode("utf-16")) == (
        "f: is not UTF-8 text but UTF-16 (byte 1); convert it"
    )
    for empty in (b"", b" \n\r\n", b"[]", b"[ ]\n", b"a,b\n", gzip.compress(b"")):
        assert said(empty) == "f is empty: it should hold rows"
    assert said(b'[{"a": 1}, {"a": 2') == (
        "f is cut: its JSON array is not closed after element 1; fetch it again"
    )
    assert said(b'[{"a": 1}\n]\n[]') == (
        "f: something comes after its JSON array; part it into two files"
    )
    assert said(b'{\n  "a": 1\n}\n') == (
        "f: holds one JSON object over several lines; give an array, or one object a line"
    )
    assert said(b"PK\x03\x04...").startswith("f is a zip file or a spreadsheet; ")
    assert said(b"Just prose.\nMore of it.\n").startswith("f: is neither JSON lines, a JSON array")
    assert said(b"a,a\n1,2\n") == "f: two columns are called 'a'; rename one"
    assert said(FORMS["parquet"](ROWS)[:-30]).startswith("f is a broken Parquet file (")
    assert refusal(tmp_path / "none") == "none does not exist; check the path"


def test_a_null_of_parquet_says_nothing(tmp_path: Path):
    found = [{"a": 1, "b": {"c": None, "d": "x"}}, {"a": None, "b": {"c": 2, "d": None}}]
    path = write(tmp_path / "f", FORMS["parquet"](found))
    assert rows(path) == [{"a": 1, "b": {"d": "x"}}, {"b": {"c": 2}}]


@pytest.mark.parametrize("whole", ['{\n "data": []\n}', '{"data": [\n{"a": 1}\n]}\n'])
def test_an_object_over_several_lines_is_named(whole: str, tmp_path: Path):
    assert refusal(write(tmp_path / "f.json", whole.encode())) == (
        "f.json: holds one JSON object over several lines; give an array, or one object a line"
    )


def test_a_table_of_carriage_returns_is_named(tmp_path: Path):
    assert refusal(write(tmp_path / "f.csv", b"a,b\r1,2\r")) == (
        "f.csv line 1: its lines end in carriage returns alone; save it with line feeds"
    )


def test_a_packed_parquet_file_and_cells_parted_by_semicolons_are_named(tmp_path: Path):
    packed = gzip.compress(parquet([{"a": 1}]))
    assert refusal(write(tmp_path / "f", packed)) == "f is a packed Parquet file; unpack it"
    assert refusal(write(tmp_path / "f.csv", b"prompt;response\na;b\n")) == (
        "f.csv: its cells are parted by semicolons; save it with commas or tabs"
    )


def test_a_zstd_file_of_little_content_is_unpacked_in_small_parts(tmp_path: Path):
    import zstandard

    path = tmp_path / "f"
    content = b'{"a": "' + b"x" * 2**10 + b'"}\n'
    path.write_bytes(zstandard.compress(content * 2**16))  # 64 MiB in 7 kB
    with unpacked(path) as file:
        largest = 0
        while part := file.raw.read(2**30):  # type: ignore[attr-defined]
            largest = max(largest, len(part))
    assert largest < 2**25


def test_tables_hold_texts(tmp_path: Path):
    content = table([{"a": 1, "b": ""}])
    assert rows(write(tmp_path / "f", content)) == [{"a": "1", "b": ""}]
