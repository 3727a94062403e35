#include "stores/redis_server.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <thread>

namespace bench {

namespace {

struct FreeReply {
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

Reply checked(void* raw) {
    Reply reply(static_cast<redisReply*>(raw));
    if (!reply) throw std::runtime_error("redis: no answer");
    if (reply->type == REDIS_REPLY_ERROR)
        throw std::runtime_error("redis: " + std::string(reply->str));
    return reply;
}

using Context = std::unique_ptr<redisContext, void (*)(redisContext*)>;
Context connected(const std::string& socket) {
    Context context(redisConnectUnix(socket.c_str()), redisFree);
    if (context && context->err != 0) context.reset();
    return context;
}
bool answers(const std::string& socket) {
    const Context context = connected(socket);
    if (!context) return false;
    const Reply reply(static_cast<redisReply*>(redisCommand(context.get(), "PING")));
    return reply && reply->type == REDIS_REPLY_STATUS;
}

// The server's program under the name that Debian's package without a service gives it: which of
// its roles it has is told by the name that it is started under.
[[noreturn]] void become_server(const std::string& folder, const RedisOptions& options) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const std::string socket = folder + "/socket", log = folder + "/log";
    ::execlp("redis-check-rdb", "redis-server", "--port", "0", "--unixsocket", socket.c_str(),
             "--dir", folder.c_str(), "--save", "", "--appendonly", "yes", "--appendfsync",
             options.sync == RedisSync::always ? "always" : "no", "--auto-aof-rewrite-percentage",
             options.rewrites ? "100" : "0", "--logfile", log.c_str(), nullptr);
    ::_exit(127);
}

}  // namespace

RedisServer::RedisServer(const std::string& folder, const RedisOptions& options)
    : folder_(std::filesystem::absolute(folder)), socket_(folder_ + "/socket") {
    std::filesystem::create_directories(folder_);
    // One whose owner was killed dies a moment after it.
    while (connected(socket_)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    process_ = ::fork();
    if (process_ < 0) throw std::runtime_error("fork failed");
    if (process_ == 0) become_server(folder_, options);
    // It says an error while it reads its append-only file.
    while (!answers(socket_)) {
        if (::waitpid(process_, nullptr, WNOHANG) == process_)
            throw std::runtime_error("redis-server ended at once; see " + folder_ + "/log");
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

RedisServer::~RedisServer() {
    ::kill(process_, SIGTERM);
    ::waitpid(process_, nullptr, 0);
}

RedisClient::RedisClient(const RedisServer& server)
    : context_(redisConnectUnix(server.socket().c_str())) {
    if (!context_ || context_->err != 0) fail();
}

void RedisClient::fail() const {
    throw std::runtime_error(context_ ? std::string("redis: ") + context_->errstr
                                      : "redis: out of memory");
}

void RedisClient::send_set(std::uint64_t page, std::span<const std::byte> bytes) {
    if (redisAppendCommand(context_.get(), "SET %b %b", &page, sizeof page, bytes.data(),
                           bytes.size()) != REDIS_OK)
        fail();
}

void RedisClient::await_answer() {
    void* reply = nullptr;
    if (redisGetReply(context_.get(), &reply) != REDIS_OK) fail();
    checked(reply);
}

std::vector<std::byte> RedisClient::get(std::uint64_t page) {
    const Reply reply = checked(redisCommand(context_.get(), "GET %b", &page, sizeof page));
    const auto bytes = std::as_bytes(std::span(reply->str, reply->len));
    return {bytes.begin(), bytes.end()};
}

std::uint64_t RedisClient::pages() {
    return static_cast<std::uint64_t>(checked(redisCommand(context_.get(), "DBSIZE"))->integer);
}

}  // namespace bench
