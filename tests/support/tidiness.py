"""The house rules that a machine can check: a rule takes one file and yields what is wrong with it.

No list of exceptions to a limit: a limit that is wrong is changed for all. Where a rule names
places, they are the only ones where the thing belongs, and the reason stands beside them.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

FILE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 70
SCRIPT_LINES_MAX: Final = 150

PACKAGES: Final = ("streamq", "processors", "admin")
OUR_CODE: Final = (*PACKAGES, "benchmarks", "tests")
SCRIPTS: Final = "streamq/store/scripts/"

HEADER: Final = ("From", "Bound", "KEYS", "ARGV", "USES", "RETURNS", "ERRORS")
"""The fields of a script's header, in their order; `To` stands on the line of `From`."""

VAGUE_MODULES: Final = frozenset({"utils", "util", "common", "helpers", "base", "types", "misc"})

NOT_OUR_NOUNS: Final = {
    "task": "job",
    "tasks": "jobs",
    "broker": "store",
    "consumer": "worker",
    "consumers": "workers",
    "tries": "attempts",
    "visibility": "lease",
    "requeue": "retry or release",
    "dlq": "failed or parked",
    "deadletter": "failed or parked",
}

BROAD_EXCEPT: Final = frozenset(
    {
        "streamq/run/execute.py",  # a handler may raise anything
        "streamq/run/worker.py",  # a worker's turn must not end the process
        "streamq/run/daemon.py",  # the top of the daemon: children are stopped whatever happened
    }
)

SLEEPS: Final = frozenset(
    {
        "streamq/embedded/server.py",  # a lock of the kernel has no wait with a limit
        "tests/support/waiting.py",  # this is how tests wait for a state
        "tests/support/handlers.py",  # handlers that block on purpose
    }
)

UNTYPED: Final = frozenset({"streamq/store/client.py"})  # redis-py's own types are of no use

# Spelled so that this file does not hold what it looks for.
_MACHINE_PATH: Final = re.compile(r"(?<![\w.~-])/(?:ro{2}t|hom[e]|wor[k]|User[s])/")
_INDEX: Final = re.compile(
    r"https?://[\w.-]*(?:pyp[i]\.|pythonhoste[d]|npmj[s])|https?://\S*/simpl[e]\b"
    r"|(?<!no-emit)-(?:-extra)?-index-ur[l]|(?<!no-emit)--find-link[s]|(?<!no-emit)--trusted-hos[t]"
)
_SECRET: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KE[Y]-----|\bAKI[A][0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    r"|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bxox[abpr]-\w{8,}"
)
_UNOWNED: Final = re.compile(r"\b(?:TOD[O]|FIXM[E]|HAC[K])\b(?!\(\S+\))")
_NUMBERED: Final = re.compile(r"\b(?:KEYS|ARGV)\[\d+\]")


class Source:
    """One file of the checkout, read once."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root = root
        self.name = path.relative_to(root).as_posix()
        self.text = path.read_text("utf-8")

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def is_python(self) -> bool:
        return self.name.endswith(".py")

    @property
    def is_script(self) -> bool:
        """A transition, not one of the fragments in lib/."""
        return str(Path(self.name).parent) + "/" == SCRIPTS and self.name.endswith(".lua")

    def within(self, *folders: str) -> bool:
        return self.name.startswith(tuple(f"{folder}/" for folder in folders))

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    def walk(self) -> Iterator[ast.AST]:
        return ast.walk(self.tree) if self.is_python else iter(())


Rule = Callable[[Source], Iterator[str]]


def a_file_is_short(source: Source) -> Iterator[str]:
    limit = SCRIPT_LINES_MAX if source.name.endswith(".lua") else FILE_LINES_MAX
    if source.name.endswith((".py", ".lua")) and source.lines > limit:
        yield f"{source.lines} lines, at most {limit}"


def a_function_is_short(source: Source) -> Iterator[str]:
    for node in source.walk():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"


def a_module_says_what_it_owns(source: Source) -> Iterator[str]:
    if not (source.is_python and source.within(*PACKAGES)):
        return
    if source.stem in VAGUE_MODULES:
        yield "a thing lives where it is used; used twice, it gets a name"
    if source.tree.body and ast.get_docstring(source.tree) is None:
        yield "no docstring: which noun does it own?"


def words_are_ours(source: Source) -> Iterator[str]:
    if not source.within(*PACKAGES):
        return
    uses_asyncio = "import asyncio" in source.text
    for name, is_variable in _defined_names(source):
        words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
        for word in sorted(words & NOT_OUR_NOUNS.keys()):
            # A variable may well hold a Task of asyncio; a function or class of ours is not one.
            if not (word.startswith("task") and uses_asyncio and is_variable):
                yield f"{name}: we say {NOT_OUR_NOUNS[word]}, not {word}"


def _defined_names(source: Source) -> Iterator[tuple[str, bool]]:
    """Each name that the file gives to something, and whether that is a variable."""
    for node in source.walk():
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, False
            case ast.ClassDef(name=name):
                yield name, False
            case ast.arg(arg=name):
                yield name, True
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, True
            case _:
                pass


def only_three_places_catch_everything(source: Source) -> Iterator[str]:
    catches = 0
    for node in source.walk():
        # One that ends with a bare `raise` only cleans up.
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type):
            last = node.body[-1]
            catches += not (isinstance(last, ast.Raise) and last.exc is None)
    allowed = 1 if source.name in BROAD_EXCEPT else 0
    if catches > allowed:
        yield f"catches everything in {catches} places, at most {allowed} here"


def _is_broad(caught: ast.expr | None) -> bool:
    match caught:
        case None | ast.Name(id="Exception" | "BaseException"):
            return True
        case ast.Tuple(elts=several):
            return any(_is_broad(each) for each in several)
        case _:
            return False


def nothing_sleeps_for_luck(source: Source) -> Iterator[str]:
    if source.name in SLEEPS or not source.within(*OUR_CODE):
        return
    for node in source.walk():
        match node:
            case ast.Attribute(value=ast.Name(id="time"), attr="sleep"):
                yield f"line {node.lineno}: time.sleep"
            case ast.ImportFrom(module="time", names=names) if any(
                n.name == "sleep" for n in names
            ):
                yield f"line {node.lineno}: time.sleep"
            case _:
                pass


def types_say_what_they_mean(source: Source) -> Iterator[str]:
    if source.name in UNTYPED or not source.within(*PACKAGES):
        return
    for node in source.walk():
        match node:
            case ast.ImportFrom(module="typing", names=names):
                for each in names:
                    if each.name in ("Any", "cast"):
                        yield f"line {node.lineno}: typing.{each.name}"
            case ast.Attribute(value=ast.Name(id="typing"), attr=("Any" | "cast") as name):
                yield f"line {node.lineno}: typing.{name}"
            case _:
                pass


def a_script_has_its_header(source: Source) -> Iterator[str]:
    if not source.is_script:
        return
    head = source.text.partition("\n\n")[0].splitlines()
    if not head or not head[0].startswith(f"-- {source.stem}: "):
        yield f"does not open with `-- {source.stem}: ` and what it does"
    found = [word for line in head for word in HEADER if line.startswith(f"-- {word} ")]
    if found != list(HEADER):
        yield f"the header's fields are {' '.join(found)}, not {' '.join(HEADER)}"
    if not any(re.match(r"-- From .* To ", line) for line in head):
        yield "From which states, To which? One line with both"


def a_script_names_its_fragments(source: Source) -> Iterator[str]:
    if not source.is_script:
        return
    for name in _fragments_of(source.text):
        if not (source.root / SCRIPTS / "lib" / f"{name}.lua").is_file():
            yield f"uses {name}, which lib/ does not have"


def a_fragment_is_used(source: Source) -> Iterator[str]:
    if not source.within(SCRIPTS + "lib"):
        return
    scripts = (source.root / SCRIPTS).glob("*.lua")
    if not any(source.stem in _fragments_of(script.read_text("utf-8")) for script in scripts):
        yield "no script uses it"


def _fragments_of(script: str) -> list[str]:
    uses = re.search(r"^-- USES +(.*(?:\n--  +.*)*)", script, re.MULTILINE)
    return re.sub(r"\n-- +", " ", uses[1]).split() if uses else []


def nobody_counts_positions(source: Source) -> Iterator[str]:
    if source.name.endswith(".lua"):
        for number, line in enumerate(source.text.splitlines(), 1):
            if _NUMBERED.search(line):
                yield f"line {number}: keys and arguments have names"


def a_script_has_its_function_and_its_tests(source: Source) -> Iterator[str]:
    if not source.is_script:
        return
    if not (source.root / f"tests/transitions/test_{source.stem}.py").is_file():
        yield f"no tests/transitions/test_{source.stem}.py"
    transitions = source.root / "streamq/store/transitions.py"
    text = transitions.read_text("utf-8") if transitions.is_file() else ""
    if not re.search(rf"^async def {source.stem}\(", text, re.MULTILINE):
        yield f"no function {source.stem} in streamq/store/transitions.py"


def nothing_knows_this_machine(source: Source) -> Iterator[str]:
    yield from _lines_with(_MACHINE_PATH, source, "an absolute path of one machine")


def no_index_has_an_address(source: Source) -> Iterator[str]:
    yield from _lines_with(_INDEX, source, "the address of a package index")


def no_secret_is_kept(source: Source) -> Iterator[str]:
    yield from _lines_with(_SECRET, source, "looks like a secret")


def nothing_is_left_to_nobody(source: Source) -> Iterator[str]:
    yield from _lines_with(_UNOWNED, source, "work without an owner in the tracker")


def _lines_with(pattern: re.Pattern[str], source: Source, what: str) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if pattern.search(line):
            yield f"line {number}: {what}"


RULES: Final[tuple[Rule, ...]] = (
    a_file_is_short,
    a_function_is_short,
    a_module_says_what_it_owns,
    words_are_ours,
    only_three_places_catch_everything,
    nothing_sleeps_for_luck,
    types_say_what_they_mean,
    a_script_has_its_header,
    a_script_names_its_fragments,
    a_fragment_is_used,
    nobody_counts_positions,
    a_script_has_its_function_and_its_tests,
    nothing_knows_this_machine,
    no_index_has_an_address,
    no_secret_is_kept,
    nothing_is_left_to_nobody,
)

_NOT_SOURCE: Final = frozenset({"__pycache__", "build", "dist", "results"})
_HIDDEN_BUT_OURS: Final = frozenset({".ci"})


def sources(root: Path) -> Iterator[Source]:
    """Every text file of the checkout that people write: what is hidden or made is left out."""
    yield from _below(root, root)


def _below(root: Path, folder: Path) -> Iterator[Source]:
    for path in sorted(folder.iterdir()):
        if path.name in _NOT_SOURCE or path.is_symlink():
            continue
        if path.is_dir():
            if not path.name.startswith(".") or path.name in _HIDDEN_BUT_OURS:
                yield from _below(root, path)
            continue
        try:
            yield Source(root, path)
        except UnicodeDecodeError:  # a picture, a font: no rule is about those
            continue
