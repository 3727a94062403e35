// MMSB through its public face.
#include "durable/engine.hpp"

#include <mmsb/mmsb.hpp>

#include <filesystem>
#include <fstream>
#include <optional>

namespace bench {

namespace {

class MmsbWriter final : public Writer {
public:
    explicit MmsbWriter(const std::vector<mmsb::Page>& pages) : pages_(pages) {}
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        pages_[page].update(bytes);
    }

private:
    const std::vector<mmsb::Page>& pages_;
};

class Mmsb final : public Engine {
public:
    explicit Mmsb(const std::string& folder)
        : config_{.path = folder, .durability = mmsb::Durability::sync},
          bus_(mmsb::start(config_)) {}
    ~Mmsb() override {
        forget_memory();
        bus_.reset();
    }
    Mmsb(const Mmsb&) = delete;
    Mmsb& operator=(const Mmsb&) = delete;
    void load(std::span<const std::byte> bytes) override {
        auto tx = bus_->transaction();
        for (std::size_t at = 0; at < bytes.size(); at += page_size)
            static_cast<void>(
                tx.create_page(page_size, {.contents = bytes.subspan(at, page_size)}));
        tx.commit();
        pages_ = bus_->pages();
    }
    std::unique_ptr<Writer> writer() override { return std::make_unique<MmsbWriter>(pages_); }
    std::vector<std::byte> read_again() override {
        pages_.clear();
        mmsb::stop(std::move(*bus_));
        forget_memory();  // from the files alone
        bus_ = mmsb::start(config_);
        std::vector<std::byte> bytes;
        for (const auto& page : bus_->pages()) {
            const auto all = page.read();
            bytes.insert(bytes.end(), all.begin(), all.end());
        }
        return bytes;
    }

private:
    void forget_memory() const {
        std::string arena;
        std::getline(std::ifstream(std::filesystem::path(config_.path) / "arena"), arena);
        std::filesystem::remove(arena);
    }
    mmsb::Config config_;
    std::optional<mmsb::State> bus_;
    std::vector<mmsb::Page> pages_{};
};

}  // namespace

Way mmsb_sync() {
    return {"MMSB, Durability::sync", [](const std::string& folder) -> std::unique_ptr<Engine> {
                return std::make_unique<Mmsb>(folder);
            }};
}

}  // namespace bench
