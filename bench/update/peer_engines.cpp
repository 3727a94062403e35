// RocksDB and SQLite, a commit an update, as bench/stores runs them; Redis with 64 updates on
// their way to the server and back.
#include "stores/redis_server.hpp"
#include "stores/store.hpp"
#include "update/workload.hpp"

namespace bench {

namespace {

class StoreEngine final : public Engine {
public:
    StoreEngine(std::string name, const Way& way, const std::string& folder)
        : name_(std::move(name)), folder_(folder), store_(way.open(folder)) {}
    ~StoreEngine() override {
        writer_.reset();
        store_.reset();
        remove_store(folder_);
    }
    StoreEngine(const StoreEngine&) = delete;
    StoreEngine& operator=(const StoreEngine&) = delete;
    std::string name() const override { return name_; }
    std::string survives() const override { return "kill -9; current value only"; }
    void load(Model& model) override {
        store_->load(model.bytes());
        writer_ = store_->writer();
    }
    void update(std::size_t n, std::span<const std::byte> bytes) override {
        writer_->commit(n, bytes);
    }
    std::vector<std::byte> read(std::size_t n) override {
        std::vector<std::byte> bytes(page_size);
        store_->read(n, bytes);
        return bytes;
    }

private:
    std::string name_, folder_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<Writer> writer_{};
};

class Redis final : public Engine {
public:
    Redis(const std::string& folder, std::uint64_t in_flight)
        : in_flight_(in_flight),
          folder_(folder),
          server_(std::make_unique<RedisServer>(folder, RedisSync::never)),
          client_(*server_) {}
    ~Redis() override {
        server_.reset();
        remove_store(folder_);
    }
    Redis(const Redis&) = delete;
    Redis& operator=(const Redis&) = delete;
    std::string name() const override {
        return "Redis, AOF no fsync, " + std::to_string(in_flight_) + " in flight";
    }
    std::string survives() const override { return "kill -9; current value only"; }
    void load(Model& model) override {
        for (std::size_t n = 0; n < model.pages(); ++n) client_.send_set(n, model.page(n));
        for (std::size_t n = 0; n < model.pages(); ++n) client_.await_answer();
    }
    void update(std::size_t n, std::span<const std::byte> bytes) override {
        client_.send_set(n, bytes);
        if (++sent_ > in_flight_) {
            client_.await_answer();
            --sent_;
        }
    }
    void finish() override {
        for (; sent_ > 0; --sent_) client_.await_answer();
    }
    std::vector<std::byte> read(std::size_t n) override { return client_.get(n); }

private:
    std::uint64_t in_flight_, sent_ = 0;
    std::string folder_;
    std::unique_ptr<RedisServer> server_;
    RedisClient client_;
};

}  // namespace

std::unique_ptr<Engine> rocksdb_engine(const std::string& folder) {
    return std::make_unique<StoreEngine>("RocksDB, WAL, no sync", rocksdb_store(Survives::kill),
                                         folder);
}
std::unique_ptr<Engine> sqlite_engine(const std::string& folder) {
    return std::make_unique<StoreEngine>("SQLite WAL, synchronous=OFF",
                                         sqlite_store(Survives::kill), folder);
}
std::unique_ptr<Engine> redis_engine(const std::string& folder, std::uint64_t in_flight) {
    return std::make_unique<Redis>(folder, in_flight);
}

}  // namespace bench
