// RocksDB and SQLite, a commit an update, and Redis, 64 of them on their way: as bench/stores runs
// them where a commit has to survive kill -9.
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
    void finish() override { writer_->finish(); }
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

}  // namespace

std::unique_ptr<Engine> rocksdb_engine(const std::string& folder) {
    return std::make_unique<StoreEngine>("RocksDB, WAL, no sync", rocksdb_store(Survives::kill),
                                         folder);
}
std::unique_ptr<Engine> sqlite_engine(const std::string& folder) {
    return std::make_unique<StoreEngine>("SQLite WAL, synchronous=OFF",
                                         sqlite_store(Survives::kill), folder);
}
std::unique_ptr<Engine> redis_engine(const std::string& folder) {
    return std::make_unique<StoreEngine>("Redis, AOF no fsync, 64 in flight",
                                         redis_store(Survives::kill, Checkpoints::on_demand),
                                         folder);
}

}  // namespace bench
