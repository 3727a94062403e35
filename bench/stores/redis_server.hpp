/// bench/stores/redis_server: a Redis server of its own, on a unix socket in a folder of its own;
/// no port, no snapshots, an append-only file.
#pragma once

#include <hiredis/hiredis.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bench {

/// When the append-only file is synced.
enum class RedisSync : std::uint8_t { never, always };

struct RedisOptions {
    RedisSync sync = RedisSync::never;
    bool rewrites = false;  ///< The file anew where it has doubled, as by default; false: never.
};

class RedisServer {
public:
    /// Starts it in the folder, whose contents it takes, and waits until it answers. It dies with
    /// the thread that has started it.
    RedisServer(const std::string& folder, const RedisOptions& options);
    /// Ends it as it should end: all is written.
    ~RedisServer();
    RedisServer(const RedisServer&) = delete;
    RedisServer& operator=(const RedisServer&) = delete;
    [[nodiscard]] const std::string& socket() const noexcept { return socket_; }

private:
    std::string folder_, socket_;
    pid_t process_ = -1;
};

/// A client's way to it. One thread at a time. Throws std::runtime_error where it says an error.
class RedisClient {
public:
    explicit RedisClient(const RedisServer& server);
    /// Sends it; the answer is still to come.
    void send_set(std::uint64_t page, std::span<const std::byte> bytes);
    /// Waits for the answer to the oldest one that was sent.
    void await_answer();
    [[nodiscard]] std::vector<std::byte> get(std::uint64_t page);
    [[nodiscard]] std::uint64_t pages();

private:
    struct Free {
        void operator()(redisContext* context) const { redisFree(context); }
    };
    [[noreturn]] void fail() const;
    std::unique_ptr<redisContext, Free> context_;
};

}  // namespace bench
