// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * gRPC C++ with generated stubs: unary calls for round trips, a client stream for streams, over a
 * Unix socket ("unix") or TCP. Both ends use the synchronous API, whose caller polls the socket
 * itself: on two processors it has the lowest latency. Where many calls are under way the client
 * waits at a completion queue and the server answers by callbacks. No TLS, no size limit, no
 * retries, no channelz, large HTTP/2 frames and windows; messages are made once; a stream's small
 * writes carry the hint to gather them, which gRPC advises where there are many.
 */
extern "C"
{
#include "peer.h"
}

#include <condition_variable>
#include <grpcpp/grpcpp.h>
#include <memory>
#include <mutex>
#include <peer-grpc.grpc.pb.h>
#include <string>
#include <unistd.h>

namespace
{

using commy::peer::Bench;
using commy::peer::Payload;

class Service final : public Bench::Service
{
public:
  explicit Service (PeerRun *run) : run_ (run) {}

  grpc::Status
  Echo (grpc::ServerContext *, const Payload *request, Payload *response) override
  {
    peer_check (run_, request->data ().data (), request->data ().size ());
    response->set_data (request->data ());
    peer_fill (run_, response->mutable_data ()->data ());
    return grpc::Status::OK;
  }

  // Hands the stream to the thread that measures and stays until the process ends.
  grpc::Status
  Take (grpc::ServerContext *, grpc::ServerReader<Payload> *reader, Payload *) override
  {
    std::unique_lock<std::mutex> lock (mutex_);
    reader_ = reader;
    changed_.notify_all ();
    changed_.wait (lock, [] { return false; });
    return grpc::Status::OK;
  }

  void
  ReadOne ()
  {
    if (!taken_)
      {
        std::unique_lock<std::mutex> lock (mutex_);
        changed_.wait (lock, [this] { return reader_ != nullptr; });
        taken_ = reader_;
      }
    if (!taken_->Read (&message_))
      peer_fail ("the stream ended");
    peer_check (run_, message_.data ().data (), message_.data ().size ());
  }

private:
  PeerRun *run_;
  std::mutex mutex_;
  std::condition_variable changed_;
  grpc::ServerReader<Payload> *reader_ = nullptr; // under mutex_
  grpc::ServerReader<Payload> *taken_ = nullptr;
  Payload message_;
};

class CallbackService final : public Bench::WithCallbackMethod_Echo<Bench::Service>
{
public:
  explicit CallbackService (PeerRun *run) : run_ (run) {}

  grpc::ServerUnaryReactor *
  Echo (grpc::CallbackServerContext *context, const Payload *request, Payload *response) override
  {
    peer_check (run_, request->data ().data (), request->data ().size ());
    response->set_data (request->data ());
    grpc::ServerUnaryReactor *reactor = context->DefaultReactor ();
    reactor->Finish (grpc::Status::OK);
    return reactor;
  }

private:
  PeerRun *run_;
};

// One of the calls that are under way.
struct Call
{
  grpc::ClientContext context;
  grpc::Status status;
  Payload response;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Payload> > reader;
};

struct End
{
  PeerRun *run;
  std::unique_ptr<Service> service;
  std::unique_ptr<CallbackService> callbacks;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<Bench::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientWriter<Payload> > writer;
  grpc::CompletionQueue queue;
  unsigned under_way = 0;
  unsigned grouped = 0;
  Payload request, response;
};

template <typename Options>
void
tune (Options set)
{
  set (GRPC_ARG_HTTP2_MAX_FRAME_SIZE, (16 << 20) - 1);
  set (GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 16 << 20);
  set (GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, 1 << 20);
  set (GRPC_ARG_ENABLE_CHANNELZ, 0);
  set (GRPC_ARG_ENABLE_RETRIES, 0);
}

const char *
version (void)
{
  static const std::string text = grpc::Version ();
  return text.c_str ();
}

void *
serve (PeerRun *run)
{
  auto *end = new End{};
  int port = 0;
  bool is_unix = peer_is_over (run, "unix");
  std::string address = is_unix ? std::string ("unix:") + run->dir + "/socket" : "127.0.0.1:0";
  grpc::ServerBuilder builder;
  end->run = run;
  end->service = std::make_unique<Service> (run);
  end->callbacks = std::make_unique<CallbackService> (run);
  tune ([&] (const char *name, int value) { builder.AddChannelArgument (name, value); });
  builder.SetMaxReceiveMessageSize (-1);
  builder.SetMaxSendMessageSize (-1);
  builder.SetSyncServerOption (grpc::ServerBuilder::NUM_CQS, 1);
  builder.AddListeningPort (address, grpc::InsecureServerCredentials (), &port);
  if (run->pipelined)
    builder.RegisterService (end->callbacks.get ());
  else
    builder.RegisterService (end->service.get ());
  end->server = builder.BuildAndStart ();
  if (!end->server || port == 0)
    peer_fail ("cannot listen at %s", address.c_str ());
  if (!is_unix)
    address = "127.0.0.1:" + std::to_string (port);
  run->address[address.copy (run->address, PEER_ADDRESS_SIZE - 1)] = '\0';
  return end;
}

void *
connect_to (PeerRun *run)
{
  auto *end = new End{};
  grpc::ChannelArguments arguments;
  end->run = run;
  tune ([&] (const char *name, int value) { arguments.SetInt (name, value); });
  arguments.SetMaxReceiveMessageSize (-1);
  arguments.SetMaxSendMessageSize (-1);
  end->stub = Bench::NewStub (
      grpc::CreateCustomChannel (run->address, grpc::InsecureChannelCredentials (), arguments));
  end->request.mutable_data ()->resize (run->size);
  if (run->stream)
    {
      end->context.set_wait_for_ready (true);
      end->writer = end->stub->Take (&end->context, &end->response);
    }
  return end;
}

void
exchange (void *data)
{
  auto *end = static_cast<End *> (data);
  grpc::ClientContext context;
  context.set_wait_for_ready (true);
  peer_fill (end->run, end->request.mutable_data ()->data ());
  grpc::Status status = end->stub->Echo (&context, end->request, &end->response);
  if (!status.ok ())
    peer_fail ("%s", status.error_message ().c_str ());
  peer_check (end->run, end->response.data ().data (), end->response.data ().size ());
}

void
call (End *end)
{
  auto *next = new Call{};
  next->context.set_wait_for_ready (true);
  next->reader = end->stub->AsyncEcho (&next->context, end->request, &end->queue);
  next->reader->Finish (&next->response, &next->status, next);
  end->under_way++;
}

uint64_t
pipeline (void *data)
{
  auto *end = static_cast<End *> (data);
  void *tag;
  bool ok;
  while (end->under_way < PEER_UNDER_WAY)
    call (end);
  if (!end->queue.Next (&tag, &ok))
    peer_fail ("the queue ended");
  std::unique_ptr<Call> done (static_cast<Call *> (tag));
  if (!ok || !done->status.ok ())
    peer_fail ("%s", done->status.error_message ().c_str ());
  peer_check (end->run, done->response.data ().data (), done->response.data ().size ());
  end->under_way--;
  return 1;
}

// The server's own threads answer.
void
echo (void *)
{
  pause ();
}

void
produce (void *data)
{
  auto *end = static_cast<End *> (data);
  peer_fill (end->run, end->request.mutable_data ()->data ());
  // What may be gathered is sent with the last of a group.
  grpc::WriteOptions options;
  if (++end->grouped < peer_depth (end->run, 64 << 10, 64))
    options.set_buffer_hint ();
  else
    end->grouped = 0;
  if (!end->writer->Write (end->request, options))
    peer_fail ("the stream broke");
}

uint64_t
consume (void *data)
{
  static_cast<End *> (data)->service->ReadOne ();
  return 1;
}

} // namespace

int
main (int argc, char **argv)
{
  Peer peer = {};
  peer.name = "grpc";
  peer.version = version;
  peer.transports = "unix tcp";
  peer.waits = "block";
  peer.serve = serve;
  peer.connect = connect_to;
  peer.exchange = exchange;
  peer.echo = echo;
  peer.produce = produce;
  peer.consume = consume;
  peer.pipeline = pipeline;
  return peer_main (&peer, argc, argv);
}
