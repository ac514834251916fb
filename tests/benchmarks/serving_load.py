"""Clients of a server, as many as a load asks for: a process of its own, so that they take no time
of the server's.

Each line of its input is a load as JSON, and each line of its output what became of its requests:
{"begin", "first", "end", "events", "status", "retry_after", "tokens"}, times in seconds of
`time.monotonic`, which all processes of a machine share; `first` is null without any event.
"""

import asyncio
import json
import random
import sys
import time
from urllib.parse import urlsplit


async def ask(address: str, body: dict, key: str = "", leaves_after: int = 0) -> dict:
    """Sends a request for a stream, and reads it to its end, or leaves after some events."""
    parts, data = urlsplit(address), json.dumps(body).encode()
    record = {"begin": time.monotonic(), "first": None, "events": [], "tokens": 0}
    record |= {"status": 0, "retry_after": None, "left": False}
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        head += f"Authorization: Bearer {key}\r\n\r\n" if key else "\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        record["status"] = int((await reader.readline()).split()[1])
        while line := (await reader.readline()).strip():
            name, _, value = line.decode().partition(":")
            if name.lower() == "retry-after":
                record["retry_after"] = value.strip()
        async for line in reader:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if event.get("usage"):
                record["tokens"] = event["usage"]["completion_tokens"]
            elif event.get("choices") and event["choices"][0]["text"]:
                record["events"].append(time.monotonic())
                if leaves_after and len(record["events"]) >= leaves_after:
                    record["left"] = True
                    break
    except (ConnectionError, IndexError, ValueError) as error:
        record["error"] = f"{type(error).__name__}: {error}"
    finally:
        writer.close()
    record["first"] = record["events"][0] if record["events"] else None
    record["end"] = time.monotonic()
    return record


async def run(load: dict) -> list[dict]:
    """Runs a load: requests one behind the other by each of `clients`, until all of `bodies` were
    sent or `seconds` are over; or with a `rate`, so many a second at random moments.
    """
    draw, bodies, records = random.Random(load.get("seed", 0)), load["bodies"], []
    end = time.monotonic() + load.get("seconds", 1e9)
    send = lambda number: ask(
        load["address"], bodies[number % len(bodies)], load.get("key", ""), leaves(load, number)
    )
    n_most = len(bodies) if "seconds" not in load else 10**9

    async def client(numbers) -> None:
        for number in numbers:
            if time.monotonic() >= end:
                return
            records.append(await send(number))

    if rate := load.get("rate"):
        tasks, number = [], 0
        while time.monotonic() < end:
            tasks.append(asyncio.create_task(send(number)))
            number += 1
            await asyncio.sleep(draw.expovariate(rate))
        return await asyncio.gather(*tasks)
    numbers = iter(range(n_most))
    await asyncio.gather(*(client(numbers) for _ in range(load["clients"])))
    return records


def leaves(load: dict, number: int) -> int:
    """Returns the number of events after which a client leaves; 0: it stays."""
    return load.get("leaves_after", 0) if number % 2 else 0


def main() -> None:
    """Runs the loads of the input."""
    for line in sys.stdin:
        print(json.dumps(asyncio.run(run(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
