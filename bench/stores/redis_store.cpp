// Redis: a server process, a unix socket, an append-only file. Each writer has a connection; where
// commits wait for the disk it waits for each answer, else 64 of them are on their way, as the
// documentation says is fastest. The server groups the syncs of several writers itself.
#include "stores/redis_server.hpp"
#include "stores/store.hpp"

#include <algorithm>
#include <optional>

namespace bench {

namespace {

class RedisWriter final : public Writer {
public:
    RedisWriter(const RedisServer& server, std::uint64_t in_flight)
        : client_(server), in_flight_(in_flight) {}
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        client_.send_set(page, bytes);
        ++sent_;
        await(in_flight_);
    }
    void finish() override { await(0); }

private:
    void await(std::uint64_t left) {
        for (; sent_ > left; --sent_) client_.await_answer();
    }
    RedisClient client_;
    std::uint64_t in_flight_, sent_ = 0;
};

class Redis final : public Store {
public:
    Redis(const std::string& folder, const RedisOptions& options)
        : folder_(folder), options_(options) {
        open();
    }
    void load(std::span<const std::byte> bytes) override {
        const auto count = bytes.size() / page_size;
        for (std::uint64_t page = 0; page < count; ++page)
            client_->send_set(page, bytes.subspan(page * page_size, page_size));
        for (std::uint64_t page = 0; page < count; ++page) client_->await_answer();
    }
    std::unique_ptr<Writer> writer() override {
        return std::make_unique<RedisWriter>(*server_, options_.sync == RedisSync::always ? 0 : 64);
    }
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
        server_.emplace(folder_, options_);
        client_.emplace(*server_);
    }
    std::string folder_;
    RedisOptions options_;
    std::optional<RedisServer> server_{};
    std::optional<RedisClient> client_{};
};

}  // namespace

Way redis_store(Survives survives, Checkpoints checkpoints) {
    const bool waits = survives == Survives::power_cut;
    const RedisOptions options{.sync = waits ? RedisSync::always : RedisSync::never,
                               .rewrites = checkpoints == Checkpoints::usual};
    std::string name = waits ? "Redis, AOF, fsync always" : "Redis, AOF, no fsync";
    if (!options.rewrites) name += ", all in its log";
    return {name,
            [=](const std::string& folder) { return std::make_unique<Redis>(folder, options); }};
}

}  // namespace bench
