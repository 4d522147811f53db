#!/usr/bin/env python3
"""Holds src/device/ascend/cann*.h against the headers of an installed CANN, at compile time.

    tests/emulator/check_cann_headers.py /usr/local/Ascend/ascend-toolkit/latest/include [MORE_FOLDERS…]

More folders: where the headers of operators (`aclnnop/`) or of HCCL (`hccl/`) lie elsewhere. A translation unit is made
that has our header in a namespace and the vendor's outside of it, and asserts for every function that both types are one
(enumerations count as int, structures by their name), for every constant that both values are equal, for every structure
that sizes and offsets agree. What the given headers do not have is counted and, with --verbose, listed.
Exit code: 0 when all that could be compared agrees. Needs a C++ compiler ($CXX, or g++).
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src/device/ascend"
OUR_HEADERS = ["cann_types.h", "cann_runtime.h", "cann_nnopbase.h", "cann_hccl.h", "cann_ops.h"]
VENDOR_HEADERS = ["acl/acl_base.h", "acl/acl_base_rt.h", "acl/acl_rt.h", "acl/acl_mdl.h", "acl/acl_base_mdl.h", "acl/acl.h",
                  "acl/acl_rt_allocator.h", "aclnn/acl_meta.h", "aclnn/aclnn_base.h", "aclnn/opdev/op_errno.h",
                  "hccl/hccl_types.h", "hccl/hccl_comm.h", "hccl/hccl.h"]
# Later releases append fields; ours is the shape of 8.1, of which 8.0 has the beginning.
GROWS = {"HcclCommConfig"}

PRELUDE = """
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ours {
%s
}  // namespace ours

%s
#include "vendor.h"

// Types as the machine sees them.
template <typename T> struct Named { using type = T; };
template <typename T, typename = void> struct Seen { using type = T; };
template <typename T> struct Seen<T, std::enable_if_t<std::is_enum_v<T> && !std::is_const_v<T>>> {
  static_assert(sizeof(T) == sizeof(int));
  using type = int;
};
template <typename T> struct Seen<T, std::enable_if_t<(std::is_class_v<T> || std::is_union_v<T>) && !std::is_const_v<T>>> {
  using type = typename Named<T>::type;
};
template <typename T> struct Seen<const T, void> { using type = const typename Seen<T>::type; };
template <typename T> struct Seen<T*, void> { using type = typename Seen<T>::type*; };
template <typename R, typename... A> struct Seen<R(A...), void> {
  using type = typename Seen<R>::type(typename Seen<A>::type...);
};
// The same without any const: where only that differs, calls are the same.
template <typename T, typename = void> struct Bare { using type = std::remove_const_t<T>; };
template <typename T> struct Bare<T*, void> { using type = typename Bare<std::remove_const_t<T>>::type*; };
template <typename R, typename... A> struct Bare<R(A...), void> {
  using type = typename Bare<R>::type(typename Bare<A>::type...);
};
template <typename A, typename B>
constexpr bool same = std::is_same_v<typename Seen<A>::type, typename Seen<B>::type>;
template <typename A, typename B>
constexpr bool same_but_const =
    std::is_same_v<typename Bare<typename Seen<A>::type>::type, typename Bare<typename Seen<B>::type>::type>;
"""


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.S)


def our_text():
    """Our headers as one text without includes; functions get C++ linkage, so that they are not the vendor's."""
    text = "\n".join((SOURCE / name).read_text() for name in OUR_HEADERS)
    text = re.sub(r"^#(include|pragma)[^\n]*", "", text, flags=re.M)
    return text.replace('extern "C" {', "inline namespace functions {")


class Ours:
    """What our headers say, as names."""

    def __init__(self, compiler):
        text = subprocess.run([compiler, "-E", "-P", "-x", "c++", "-"], input=our_text(), text=True, check=True,
                              stdout=subprocess.PIPE).stdout
        text = re.sub(r"^#[^\n]*", "", without_comments(text), flags=re.M)
        bodies = re.findall(r"inline namespace functions \{(.*?)\n\}", text, flags=re.S)
        self.functions = [name for body in bodies for name in re.findall(r"(\w+)\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*;", body)]
        self.constants = re.findall(r"inline constexpr \w+ (\w+) =", text)
        for body in re.findall(r"enum \w+ : int \{(.*?)\}", text, flags=re.S):
            self.constants += re.findall(r"(\w+) =", body)
        self.constants = [name for name in self.constants if not name.startswith("CANN_")]
        self.structures = {}
        for name, body in re.findall(r"\b(?:struct|union) (\w+) \{(.*?)\};", text, flags=re.S):
            if not name.startswith("Cann"):
                self.structures[name] = re.findall(r"(\w+)(?:\[[^;]*\])?;", body)
        self.opaque = re.findall(r"\bstruct (\w+);", text)


def find_operator_headers(folders, functions):
    """Headers below aclnnop/ that declare one of our operators."""
    wanted = {name for name in functions if name.startswith("aclnn")}
    found = []
    for folder in folders:
        for path in sorted(folder.glob("aclnnop/**/*.h")):
            if wanted & set(re.findall(r"\b(aclnn\w+)\(", path.read_text(errors="replace"))):
                found.append(str(path.relative_to(folder)))
    return found


def all_text(compiler, folders, headers):
    """Everything that the headers pull in from the given folders."""
    source = "".join(f'#include "{name}"\n' for name in headers)
    arguments = [compiler, "-M", "-x", "c++", "-"] + [f"-I{folder}" for folder in folders]
    listed = subprocess.run(arguments, input=source, text=True, check=True, stdout=subprocess.PIPE).stdout
    paths = [pathlib.Path(word) for word in listed.replace("\\\n", " ").split()[1:] if word != "-"]
    own = [path for path in paths if any(folder.resolve() in path.resolve().parents for folder in folders)]
    return without_comments("\n".join(path.read_text(errors="replace") for path in own))


def assertions(ours, text):
    """Lines to compile, what was compared, and what the vendor's headers lack."""
    words = set(re.findall(r"\w+", text))
    called = set(re.findall(r"\b(\w+)\s*\(", text))
    lines, compared, absent = [], {"functions": 0, "constants": 0, "structures": 0}, []
    for name in ours.opaque + list(ours.structures):
        if name in words:
            lines.insert(0, f"template <> struct Named<ours::{name}> {{ using type = struct Is_{name}; }};")
            lines.insert(0, f"template <> struct Named<::{name}> {{ using type = struct Is_{name}; }};")
    for name in ours.functions:
        if name not in called:
            absent.append(name)
            continue
        compared["functions"] += 1
        both = f"decltype(ours::{name}), decltype(::{name})"
        lines.append(f'static_assert(same_but_const<{both}>, "[function] {name}");')
        lines.append(f'static_assert(!same_but_const<{both}> || same<{both}>, "[const] {name}");')
    for name in ours.constants:
        if name not in words:
            absent.append(name)
            continue
        compared["constants"] += 1
        lines.append(f'static_assert(our_{name} == static_cast<long long>({name}), "[value] {name}");')
    for name, fields in ours.structures.items():
        if name not in words:
            absent.append(name)
            continue
        compared["structures"] += 1
        if name not in GROWS:
            lines.append(f'static_assert(sizeof(ours::{name}) == sizeof(::{name}), "[size] {name}");')
        for field in fields:
            if name in GROWS and field not in words:
                absent.append(f"{name}.{field}")
                continue
            lines.append(f'static_assert(offsetof(ours::{name}, {field}) == offsetof(::{name}, {field}), '
                         f'"[offset] {name}.{field}");')
    return lines, compared, absent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=pathlib.Path, help="include folders of a CANN")
    parser.add_argument("--verbose", action="store_true", help="list what the headers do not have")
    options = parser.parse_args()
    compiler = os.environ.get("CXX", "g++")
    folders = [folder.resolve() for folder in options.folders]
    for folder in folders:
        if not folder.is_dir():
            parser.error(f"{folder}: expected a folder")

    ours = Ours(compiler)
    headers = [name for name in VENDOR_HEADERS if any((folder / name).is_file() for folder in folders)]
    if not headers:
        parser.error(f"no header of CANN there; expected one of {', '.join(VENDOR_HEADERS[:3])}, …")
    headers += find_operator_headers(folders, ours.functions)
    lines, compared, absent = assertions(ours, all_text(compiler, folders, headers))

    with tempfile.TemporaryDirectory() as scratch:
        vendor = pathlib.Path(scratch, "vendor.h")
        vendor.write_text("".join(f'#include "{name}"\n' for name in headers))
        values = "\n".join(f"constexpr long long our_{name} = static_cast<long long>(ours::{name});"
                           for name in ours.constants)
        unit = pathlib.Path(scratch, "check.cpp")
        unit.write_text(PRELUDE % (our_text(), values) + "\n".join(lines) + "\n")
        arguments = [compiler, "-std=c++20", "-fsyntax-only", "-fmax-errors=0", "-w", f"-I{scratch}"]
        result = subprocess.run(arguments + [f"-isystem{folder}" for folder in folders] + [str(unit)], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    failed = sorted(set(re.findall(r"(?:static assertion failed|static_assert failed)[^\n]*?\[(\w+)\] ([\w.]+)", result.stdout)))
    const_only = [name for kind, name in failed if kind == "const"]
    differ = [(kind, name) for kind, name in failed if kind != "const"]
    other = [line for line in result.stdout.splitlines() if "error:" in line and "static" not in line]
    print(f"{len(headers)} headers; compared {compared['functions']} functions, {compared['constants']} constants, "
          f"{compared['structures']} structures; not in these headers: {len(absent)}")
    if options.verbose and absent:
        print("not in these headers: " + ", ".join(absent))
    if const_only:
        print("only a const differs: " + ", ".join(const_only))
    for kind, name in differ:
        print(f"DIFFERS: {kind} {name}")
    for line in other[:20]:
        print(line)
    if not differ and not other and result.returncode != 0 and not const_only:
        print(result.stdout)
        return 1
    return 1 if differ or other else 0


if __name__ == "__main__":
    sys.exit(main())
