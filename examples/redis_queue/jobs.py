"""A queue of jobs in Redis, reached with redis-py, which tries a command again when its connection breaks."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, TimeoutError

QUEUE = "jobs"


def connect(host: str, port: int) -> Redis:
    """Three more tries: since redis-py 6 that is so unless one says otherwise."""
    retry = Retry(ExponentialBackoff(cap=0.2, base=0.02), 3)
    return Redis(host=host, port=port, socket_timeout=0.5, retry=retry, retry_on_error=[ConnectionError, TimeoutError])


async def enqueue(redis: Redis, job_id: str) -> None:
    """Put the job into the queue."""
    await redis.lpush(QUEUE, job_id)


ONCE = """
if redis.call('SET', KEYS[2], 1, 'NX', 'EX', 86400) then
  redis.call('LPUSH', KEYS[1], ARGV[1])
end
"""


async def enqueue_once(redis: Redis, job_id: str) -> None:
    """The same with one change: in one step the server notes the job's id for a day and queues it, if it is new."""
    await redis.eval(ONCE, 2, QUEUE, f"{QUEUE}:seen:{job_id}", job_id)
