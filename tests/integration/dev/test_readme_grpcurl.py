"""The README's grpcurl lines, as they stand there, with a client that knows the protoset alone.

In place of grpcurl stands a program with grpcurl's options, which has no generated code: what
works with it works with any client of a FileDescriptorSet.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from vault.dev.environment import DevEnvironment
from vault.v1 import tokenization_service_pb2

ROOT = Path(__file__).parents[3]
PROTOSET = ROOT / "vault/v1/tokenvault.protoset"

GRPCURL = """#!{python}
import argparse, pathlib, sys
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

parser = argparse.ArgumentParser(prog="grpcurl")
for name in ("protoset", "cacert", "cert", "key"):
    parser.add_argument("-" + name, type=pathlib.Path, required=True)
parser.add_argument("-d", dest="data", required=True)
parser.add_argument("address")
parser.add_argument("method")
given = parser.parse_args()

pool = descriptor_pool.DescriptorPool()
for file in descriptor_pb2.FileDescriptorSet.FromString(given.protoset.read_bytes()).file:
    pool.Add(file)
service, _, name = given.method.partition("/")
method = pool.FindServiceByName(service).FindMethodByName(name)
ask = json_format.Parse(given.data, message_factory.GetMessageClass(method.input_type)())
credentials = grpc.ssl_channel_credentials(
    given.cacert.read_bytes(), given.key.read_bytes(), given.cert.read_bytes()
)
with grpc.secure_channel(given.address, credentials) as channel:
    call = channel.unary_unary(
        "/" + given.method,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    print(json_format.MessageToJson(call(ask, timeout=20)))
assert not [module for module in sys.modules if module.startswith("vault")]
"""


def readme_commands() -> list[str]:
    """The shell lines of the README's section on grpcurl."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## With grpcurl\n")[1].split("\n## ")[0]
    commands = []
    for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL):
        joined = block.replace("\\\n", " ")
        commands += [line[2:] for line in joined.splitlines() if line.startswith("$ ")]
    return commands


@pytest.fixture
def home(private_tmp: Path) -> Iterator[Path]:
    """A checkout as the README has it, and an environment that runs in it."""
    (private_tmp / "vault").symlink_to(ROOT / "vault")
    programs = private_tmp / "bin"
    programs.mkdir()
    (programs / "grpcurl").write_text(GRPCURL.replace("{python}", sys.executable))
    (programs / "grpcurl").chmod(0o700)
    with DevEnvironment(private_tmp / ".tokenvault"):
        yield private_tmp


def test_the_readme_s_grpcurl_lines_do_what_they_say(home: Path) -> None:
    commands = readme_commands()
    assert any(command.startswith("grpcurl ") for command in commands)
    done = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],
        cwd=home,
        env={"PATH": f"{home / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    (token,) = json.loads(done.stdout)["tokens"]
    assert re.fullmatch(r"[0-9]{16}", token)
    assert token != "5545634085461876"


def test_the_protoset_needs_no_other_file_and_says_what_the_stubs_say() -> None:
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(PROTOSET.read_bytes()).file
    for file in files:  # in the order of their imports, or this fails
        pool.Add(file)
    service = tokenization_service_pb2.DESCRIPTOR.services_by_name["TokenizationService"]
    found = pool.FindServiceByName(service.full_name)
    assert [method.name for method in found.methods] == [method.name for method in service.methods]
    protos = {path.name for path in (ROOT / "proto/vault/v1").glob("*.proto")}
    assert {Path(file.name).name for file in files} >= protos
    # What old releases cannot read: editions, and options they must understand.
    assert {file.syntax for file in files} <= {"proto3", "proto2", ""}
