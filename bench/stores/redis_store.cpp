// Redis: a server process, a unix socket, an append-only file; each writer has a connection and
// waits for its answers. The server groups the syncs of several writers itself.
#include "stores/redis_server.hpp"
#include "stores/store.hpp"

#include <algorithm>
#include <optional>

namespace bench {

namespace {

class RedisWriter final : public Writer {
public:
    explicit RedisWriter(const RedisServer& server) : client_(server) {}
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        client_.send_set(page, bytes);
        client_.await_answer();
    }

private:
    RedisClient client_;
};

class Redis final : public Store {
public:
    Redis(const std::string& folder, RedisSync sync) : folder_(folder), sync_(sync) { open(); }
    void load(std::span<const std::byte> bytes) override {
        const auto count = bytes.size() / page_size;
        for (std::uint64_t page = 0; page < count; ++page)
            client_->send_set(page, bytes.subspan(page * page_size, page_size));
        for (std::uint64_t page = 0; page < count; ++page) client_->await_answer();
    }
    std::unique_ptr<Writer> writer() override { return std::make_unique<RedisWriter>(*server_); }
    void read(std::uint64_t page, std::span<std::byte> out) override {
        std::ranges::copy(client_->get(page), out.begin());
    }
    std::vector<std::byte> read_all() override {
        std::vector<std::byte> all;
        for (std::uint64_t page = 0, count = client_->pages(); page < count; ++page) {
            const auto bytes = client_->get(page);
            all.insert(all.end(), bytes.begin(), bytes.end());
        }
        return all;
    }
    void reopen() override {
        client_.reset();
        server_.reset();
        open();
    }

private:
    void open() {
        server_.emplace(folder_, sync_);
        client_.emplace(*server_);
    }
    std::string folder_;
    RedisSync sync_;
    std::optional<RedisServer> server_{};
    std::optional<RedisClient> client_{};
};

}  // namespace

Way redis_store(Survives survives) {
    const bool waits = survives == Survives::power_cut;
    return {waits ? "Redis, AOF, fsync always" : "Redis, AOF, no fsync",
            [=](const std::string& folder) {
                return std::make_unique<Redis>(folder,
                                               waits ? RedisSync::always : RedisSync::never);
            }};
}

}  // namespace bench
