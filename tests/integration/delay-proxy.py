# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes connections that the kernel redirected to it, and carries their bytes on to where they
wanted to go, so many milliseconds later, both ways. Its own are marked, or they would come back."""
import asyncio
import socket
import struct
import sys

ORIGINAL_DST = 80  # SO_ORIGINAL_DST, linux/netfilter_ipv4.h
MARK = 7
DELAY = float(sys.argv[1]) / 1000


async def carry(reader, writer):
    """Each piece waits its time; pieces do not wait for each other."""
    queue = asyncio.Queue(maxsize=1024)
    loop = asyncio.get_running_loop()

    async def write_on():
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0, due - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    task = asyncio.ensure_future(write_on())
    data = b'-'
    while data:
        try:
            data = await reader.read(65536)
        except OSError:
            data = b''
        await queue.put((loop.time() + DELAY, data))
    await asyncio.gather(task, return_exceptions=True)


async def serve(reader, writer):
    """One connection."""
    sock = writer.get_extra_info('socket')
    raw = sock.getsockopt(socket.SOL_IP, ORIGINAL_DST, 16)
    port, address = struct.unpack('!2xH4s8x', raw)
    onward = socket.socket()
    onward.setblocking(False)
    onward.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
    try:
        await asyncio.get_running_loop().sock_connect(onward, (socket.inet_ntoa(address), port))
    except OSError:
        writer.close()
        return
    there, back = await asyncio.open_connection(sock=onward)
    await asyncio.gather(carry(reader, back), carry(there, writer), return_exceptions=True)


async def main():
    """Says where it listens."""
    server = await asyncio.start_server(serve, '0.0.0.0', 0)
    print('port', server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
