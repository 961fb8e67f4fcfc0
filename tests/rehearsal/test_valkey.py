"""A real Valkey that keeps out strangers and keeps nothing."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cutover.errors import StageError
from cutover.rehearsal import valkey as vk


def test_it_is_a_valkey_that_wants_its_password(valkey: vk.ValkeyServer) -> None:
    """The URL has it; without it nothing is answered."""
    with redis.Redis.from_url(valkey.url) as client:
        assert client.info("server")["server_name"] == "valkey"
    stranger = redis.Redis(host=valkey.host, port=valkey.port, retry=Retry(NoBackoff(), 0))
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_the_password_is_not_among_the_arguments_that_everyone_can_read(valkey: vk.ValkeyServer) -> None:
    """It stands in a file that only its owner may read."""
    with redis.Redis.from_url(valkey.url) as client:
        config = Path(str(client.info("server")["config_file"]))
    assert config.stat().st_mode & 0o077 == 0
    password = valkey.url.split(":")[2].split("@")[0]
    assert password in config.read_text()
    assert not any(password in str(argument) for argument in valkey.process.handle.args)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_it_listens_on_its_own_address_only(tmp_path: Path) -> None:
    """The source's queue and the target's may share a port."""
    with vk.start(tmp_path, host="127.61.8.11") as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", server.port), timeout=2)


def test_it_saves_nothing(tmp_path: Path) -> None:
    """What was in it is gone with it, and no file is left but its settings and its log."""
    server = vk.start(tmp_path)
    with redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
    server.stop()
    assert not server.process.alive
    assert {p.name for p in tmp_path.iterdir()} == {"valkey.conf", "valkey.log"}


def test_a_folder_with_odd_characters_in_its_name_is_no_trouble(tmp_path: Path) -> None:
    """Spaces and quotes stand in people's home folders."""
    with vk.start(tmp_path / 'my "odd" folder') as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """Rather than another port taken in silence."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StageError, match="does not come up"):
            vk.start(tmp_path, port=taken.getsockname()[1])
