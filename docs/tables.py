"""Tables of keys for a page, made from records that a TOML file is read into."""

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise

import msgspec
from msgspec import inspect as types

_WORDS = {
    types.BoolType: "`true`, `false`",
    types.StrType: "a text",
    types.StructType: "a table",
    types.DictType: "a table of texts",
}


def tables_of(top: type[msgspec.Struct]) -> str:
    """A section for each table that a file can have, the top first, those inside it nested."""
    page = ""
    for title, table in [("The top", top), *_below(top, "")]:
        page += f"\n### {title}\n\n{inspect.cleandoc(table.__doc__ or '')}\n\n"
        page += "| key | takes | default | meaning |\n|---|---|---|---|\n"
        meanings = _docstrings_of_fields(table)
        for field in msgspec.structs.fields(table):
            cells = (
                f"`{field.encode_name}`",
                _takes(types.type_info(field.type)),
                "required" if field.required else _default(field.default),
                meanings.get(field.name, ""),
            )
            page += f"| {' | '.join(cells)} |\n"
    return page


def _below(table: type[msgspec.Struct], header: str) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Every table inside a table, under the header that opens it."""
    for field in msgspec.structs.fields(table):
        kind = types.type_info(field.type)
        for option in kind.types if isinstance(kind, types.UnionType) else (kind,):
            array = isinstance(option, types.VarTupleType)
            inner = option.item_type if isinstance(option, types.VarTupleType) else option
            if isinstance(inner, types.StructType):
                name = f"{header}.{field.encode_name}".lstrip(".")
                yield f"`[[{name}]]`" if array else f"`[{name}]`", inner.cls
                yield from _below(inner.cls, name)


def _docstrings_of_fields(table: type) -> dict[str, str]:
    """What stands below each field in the source, as one line."""
    (tree,) = ast.parse(inspect.getsource(table)).body
    found = {}
    for field, after in pairwise(tree.body if isinstance(tree, ast.ClassDef) else ()):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
            found[ast.unparse(field.target)] = " ".join(ast.literal_eval(after.value).split())
    return found


def _default(value: object) -> str:
    if value in (None, (), "") or value is msgspec.NODEFAULT or isinstance(value, msgspec.Struct):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _number(value: float) -> str:
    """A limit; one that is all ones is easier to see as such."""
    whole = int(value)
    return hex(whole) if whole > 255 and whole & whole + 1 == 0 else f"{value:,.12g}"


def _takes(kind: types.Type) -> str:
    """What a key takes, in words."""
    if isinstance(kind, types.UnionType):
        return _takes(next(one for one in kind.types if not isinstance(one, types.NoneType)))
    if isinstance(kind, types.VarTupleType):
        inner = _takes(kind.item_type)
        return "tables" if inner == "a table" else f"a list: {inner}"
    if isinstance(kind, types.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, types.IntType | types.FloatType):
        whole = "a whole number" if isinstance(kind, types.IntType) else "a number"
        low = kind.ge if kind.ge is not None else kind.gt
        limits = f" from {_number(low)}" if low is not None else ""
        return whole + limits + (f" to {_number(kind.le)}" if kind.le is not None else "")
    return _WORDS[type(kind)]
