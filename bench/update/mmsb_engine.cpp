// MMSB through its public face.
#include "update/workload.hpp"

#include <mmsb/mmsb.hpp>

#include <filesystem>
#include <fstream>

namespace bench {

namespace {

class Mmsb final : public Engine {
public:
    Mmsb(std::string name, std::string survives, const mmsb::Config& config, int batch)
        : name_(std::move(name)),
          survives_(std::move(survives)),
          batch_(batch),
          bus_(mmsb::start(config)) {}
    ~Mmsb() override {
        // The arena stays after a clean leave; a benchmark cleans up behind itself.
        const std::filesystem::path path = bus_.config().path;
        tx_.reset();
        mmsb::stop(std::move(bus_));
        if (path.empty()) return;
        std::string arena;
        std::getline(std::ifstream(path / "arena"), arena);
        std::filesystem::remove(arena);
        std::filesystem::remove_all(path);
    }
    Mmsb(const Mmsb&) = delete;
    Mmsb& operator=(const Mmsb&) = delete;
    std::string name() const override { return name_; }
    std::string survives() const override { return survives_; }
    void load(Model& model) override {
        for (std::size_t n = 0; n < model.pages(); ++n)
            pages_.push_back(bus_.create_page(page_size, {.contents = model.page(n)}));
        before_ = files();
    }
    void update(std::size_t n, std::span<const std::byte> bytes) override {
        ++updates_;
        if (batch_ == 1) {
            pages_[n].update(bytes);
            return;
        }
        if (!tx_) tx_.emplace(bus_.transaction());
        tx_->update(pages_[n], bytes);
        if (++pending_ == batch_) finish();
    }
    void finish() override {
        if (tx_) tx_->commit();
        pending_ = 0;
    }
    std::vector<std::byte> read(std::size_t n) override { return pages_[n].read(); }
    std::uint64_t log_bytes() override {
        return bus_.config().path.empty() ? 0 : (files() - before_) / updates_;
    }

private:
    std::uint64_t files() {
        if (bus_.config().path.empty()) return 0;
        bus_.wait_durable(mmsb::Sequence::newest);
        std::uint64_t bytes = 0;
        for (const auto& entry :
             std::filesystem::directory_iterator(std::filesystem::path(bus_.config().path) / "log"))
            bytes += entry.file_size();
        return bytes;
    }
    std::string name_, survives_;
    int batch_, pending_ = 0;
    std::uint64_t before_ = 0, updates_ = 0;
    mmsb::State bus_;
    std::vector<mmsb::Page> pages_{};
    std::optional<mmsb::Transaction> tx_{};
};

}  // namespace

std::unique_ptr<Engine> mmsb_private() {
    return std::make_unique<Mmsb>("MMSB, private", "nothing; 56 MiB of history", mmsb::Config{}, 1);
}
std::unique_ptr<Engine> mmsb_without_log() {
    return std::make_unique<Mmsb>("MMSB, private, no log", "nothing",
                                  mmsb::Config{.enable_logging = false}, 1);
}
std::unique_ptr<Engine> mmsb_with_path(const std::string& folder) {
    return std::make_unique<Mmsb>("MMSB", "kill -9; all history", mmsb::Config{.path = folder}, 1);
}
std::unique_ptr<Engine> mmsb_timed(const std::string& folder) {
    return std::make_unique<Mmsb>("MMSB, instrumented", "kill -9; all history",
                                  mmsb::Config{.path = folder, .enable_instrumentation = true}, 1);
}
std::unique_ptr<Engine> mmsb_transactions(const std::string& folder, int updates_a_commit) {
    return std::make_unique<Mmsb>("MMSB, " + std::to_string(updates_a_commit) + " a transaction",
                                  "kill -9; all history", mmsb::Config{.path = folder},
                                  updates_a_commit);
}

}  // namespace bench
