"""Published clients of Toxiproxy drive the control API without a change."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from functools import partial
from typing import Any

import pytest

from tests.worlds.live.proxy.api import Api, serving

UP = "127.0.0.1:9"

NODE = """
const { Toxiproxy } = require('toxiproxy-node-client');
(async () => {
  const server = new Toxiproxy(process.argv[1]);
  const seen = {};
  const proxy = await server.createProxy({ name: 'db', listen: '127.0.0.1:0', upstream: '127.0.0.1:9' });
  seen.created = [proxy.name, proxy.upstream, proxy.enabled];
  const toxic = await proxy.addToxic(
    { type: 'latency', name: 'slow', stream: 'upstream', toxicity: 1, attributes: { latency: 5, jitter: 1 } });
  seen.toxic = [toxic.name, toxic.stream, toxic.attributes.latency];
  toxic.attributes.latency = 9;
  await toxic.update(toxic.toJson());
  seen.updated = (await proxy.getToxic('slow')).attributes;
  await toxic.remove();
  await proxy.update({ enabled: false, listen: proxy.listen, upstream: proxy.upstream });
  seen.disabled = (await server.get('db')).enabled;
  await server.reset();
  seen.reset = (await server.get('db')).enabled;
  const made = await server.populate([{ name: 'two', listen: '127.0.0.1:0', upstream: '127.0.0.1:9' }]);
  seen.populated = Object.keys(made);
  seen.all = Object.keys(await server.getAll());
  seen.version = JSON.stringify(await server.getVersion());
  await (await server.get('two')).remove();
  try { await server.get('two'); } catch (error) { seen.error = String(error.message); }
  console.log(JSON.stringify(seen));
})().catch((error) => { console.error(error); process.exit(1); });
"""


async def test_toxiproxy_python_drives_it() -> None:
    toxiproxy = pytest.importorskip("toxiproxy")

    def drive(port: int) -> None:
        server = toxiproxy.Toxiproxy()
        server.update_api_consumer("127.0.0.1", port)
        assert server.running()
        assert b"2.12.0" in server.version()
        proxy = server.create(upstream=UP, name="db", listen="127.0.0.1:0")
        assert (proxy.name, proxy.upstream, proxy.enabled) == ("db", UP, True)
        proxy.add_toxic(type="latency", stream="upstream", attributes={"latency": 5})
        toxic = proxy.get_toxic("latency_upstream")
        assert (toxic.type, toxic.stream, toxic.attributes["latency"]) == ("latency", "upstream", 5)
        with pytest.raises(toxiproxy.exceptions.InvalidToxic):
            proxy.add_toxic(type="nonsense")
        with pytest.raises(toxiproxy.exceptions.ProxyExists):
            server.create(upstream=UP, name="db")
        with proxy.down():
            assert server.get_proxy("db").enabled is False
        assert server.get_proxy("db").enabled is True
        proxy.destroy_toxic("latency_upstream")
        assert proxy.toxics() == {}
        made = server.populate([{"name": "two", "upstream": UP, "listen": "127.0.0.1:0"}])
        assert [each.name for each in made] == ["two"]
        assert set(server.proxies()) == {"db", "two"}
        server.reset()
        server.destroy_all()
        assert server.proxies() == {}

    async with serving() as api:
        await in_thread(api, drive)


async def test_the_node_client_drives_it() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    run = partial(subprocess.run, capture_output=True, text=True, timeout=30, check=False)
    if run([node, "-e", "require.resolve('toxiproxy-node-client')"]).returncode:
        pytest.skip("npm's toxiproxy-node-client is not on NODE_PATH")

    def drive(port: int) -> None:
        done = run([node, "-e", NODE, f"http://127.0.0.1:{port}"])
        assert done.returncode == 0, done.stderr
        seen: dict[str, Any] = json.loads(done.stdout)
        assert seen["created"] == ["db", UP, True]
        assert seen["toxic"] == ["slow", "upstream", 5]
        assert seen["updated"] == {"latency": 9, "jitter": 1}
        assert (seen["disabled"], seen["reset"]) == (False, True)
        assert seen["populated"] == ["two"]
        assert set(seen["all"]) == {"db", "two"}
        assert "2.12.0" in seen["version"]
        assert "404" in seen["error"]

    async with serving() as api:
        await in_thread(api, drive)


async def in_thread(api: Api, drive: Any) -> None:
    await asyncio.to_thread(drive, api.port)
